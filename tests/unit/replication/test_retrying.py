"""One time for all tries of a load, whoever repeats it."""

import dagster as dg
import pytest

from tranship.errors import ConfigurationError
from tranship.replication.assets import budget_of_step, retry_policy
from tranship.replication.config import TableSettings
from tranship.tables import TableName

SOURCE = TableName("dbo", "Orders")


def settings(**chosen: object) -> TableSettings:
    return TableSettings.model_validate({"table": "dbo.Orders", **chosen})


def test_every_try_of_a_step_goes_on_with_the_time_of_the_first() -> None:
    seen: list[tuple[int, float | None, float]] = []
    policy = dg.RetryPolicy(max_retries=3, delay=0)

    @dg.multi_asset(specs=[dg.AssetSpec("orders")], name="orders", retry_policy=policy)
    def orders(context: dg.AssetExecutionContext):
        budget = budget_of_step(context, settings(retry_for="1 hour"), SOURCE)
        seen.append((budget.earlier_tries, budget.first_fault, budget.left))
        if context.retry_number < 2:
            raise dg.Failure("lost", allow_retries=True)
        return dg.MaterializeResult("orders")

    @dg.multi_asset(specs=[dg.AssetSpec("other")], name="other", retry_policy=policy)
    def other(context: dg.AssetExecutionContext):
        if not context.retry_number:
            raise dg.Failure("lost", allow_retries=True)
        return dg.MaterializeResult("other")

    with dg.instance_for_test() as instance:
        assert dg.materialize([other, orders], instance=instance).success

    assert [tries for tries, _, _ in seen] == [0, 1, 2]
    (_, none, whole), (_, first, left), (_, again, less) = seen
    assert (none, whole) == (None, 3600)
    assert first is not None
    assert first == again
    assert 3500 < less <= left < 3600


def test_the_defaults_are_five_tries_in_half_an_hour() -> None:
    policy = retry_policy(settings(), SOURCE)
    assert policy is not None
    assert (policy.max_retries, policy.delay) == (5, 30)
    # What the documentation says: 30 s, then 1.5, 3.5, 7.5 and 15.5 minutes.
    plain = dg.RetryPolicy(max_retries=5, delay=30, backoff=dg.Backoff.EXPONENTIAL)
    assert [plain.calculate_delay(number) for number in range(1, 6)] == [30, 90, 210, 450, 930]


def test_no_retries_are_no_policy() -> None:
    assert retry_policy(settings(retries=0), SOURCE) is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"retries": -1}, "retries of dbo.Orders is -1"), ({"retry_for": "soon"}, "retry_for of dbo")],
)
def test_a_wrong_setting_names_the_table(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        retry_policy(settings(**wrong), SOURCE)
