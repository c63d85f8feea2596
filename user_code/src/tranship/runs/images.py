"""Getting a run's image onto the host, in spite of registries that fail now and then."""

import logging
from collections.abc import Mapping

import docker
import tenacity
from docker import errors as docker_errors
from docker.utils import parse_repository_tag

from tranship.errors import TranshipError

_LOGGER = logging.getLogger("dagster.tranship.runs")
#: Answers that another try may change: registries say 401 now and then to a login that is right
#: (https://github.com/dagster-io/dagster/issues/17814).
_MAY_PASS = frozenset({401, 408, 429, 500, 502, 503, 504})


class ImageNotAvailableError(TranshipError):
    """A run's image is not on the host and could not be pulled.

    What to do: Build the image on the host, or check the registry's address and login.
    """


def pull_image(
    client: docker.DockerClient,
    image: str,
    registry: Mapping[str, str] | None,
    attempts: int,
    wait: tenacity.wait.wait_base | None = None,
) -> None:
    """Pull an image, again while the registry fails.

    Args:
        client: The engine, or the gate in front of it.
        image: Image reference; without a tag `latest` is meant.
        registry: `{url, username, password}` of a private registry.
        attempts: How often it is tried at most.
        wait: Pause between two tries; by default random and growing up to 30 seconds.

    Raises:
        ImageNotAvailableError: It could not be pulled; says what the engine said.
    """
    repository, tag = parse_repository_tag(image)
    login: dict[str, str] | None = (
        None
        if registry is None
        else {
            "username": registry["username"],
            "password": registry["password"],
            "serveraddress": registry["url"],
        }
    )

    def pull() -> None:
        answer = client.api.pull(
            repository, tag or "latest", auth_config=login, stream=True, decode=True
        )
        for line in answer:
            # A pull that fails half-way is told in a stream whose status was 200.
            if "error" in line:
                raise docker_errors.DockerException(str(line["error"]))

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(attempts),
        wait=wait or tenacity.wait_random_exponential(multiplier=1, max=30),
        retry=tenacity.retry_if_exception(_may_pass),
        before_sleep=tenacity.before_sleep_log(_LOGGER, logging.WARNING),
        reraise=True,
    )
    try:
        retrying(pull)
    except docker_errors.DockerException as error:
        raise ImageNotAvailableError(
            f"Image {image} is not on this host and could not be pulled:"
            f" {getattr(error, 'explanation', None) or error}.",
            "Build it here, or check the registry's address and login.",
        ) from error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, docker_errors.APIError):
        return error.status_code in _MAY_PASS
    return isinstance(error, docker_errors.DockerException)
