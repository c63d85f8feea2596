"""Caddy's configuration, of checked settings.

https://caddyserver.com/docs/caddyfile
"""

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from edge.settings import ACME, FILES, Settings

#: What clients must not say of themselves; the edge sets anew what of it goes on.
_STRIPPED = (
    "X-Tranship-*", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username",
    "X-Auth-Request-*", "X-Remote-*", "X-Real-Ip", "Remote-*", "Forwarded", "X-Original-*", "X-Rewrite-Url",
)  # fmt: skip

_TEMPLATE = """# Made by `python -m edge`; written anew at each start and when certificates change.
{
	# A socket in this container's own temporary files: for new certificates, by this container's own process.
	admin unix/$RUN/admin.sock
	persist_config off
	skip_install_trust
	auto_https disable_redirects
	http_port $HTTP_LISTEN
	https_port $HTTPS_LISTEN
	default_sni $DOMAIN
	grace_period 10s
	renew_interval $RENEW_CHECKs
	servers {
		protocols h1 h2
		timeouts {
			read_header 10s
			idle 5m
		}
		max_header_size 64KB$TRUSTED
	}
	log {
		output stderr
		format json
		level INFO
	}
}

(common) {
	header {
		-Server
		-Via$HSTS
		X-Content-Type-Options nosniff
		X-Frame-Options SAMEORIGIN
		Referrer-Policy same-origin
	}
	request_body {
		max_size 16MB
	}
}

# A webserver, without our cookie: it has no use for it.
(webserver) {
	reverse_proxy unix/$ROOT/{args[0]}/webserver.sock {
		header_up X-Tranship-Address {client_ip}
		header_up Cookie "(^|;\\s*)__Host-tranship[^=;]*=[^;]*" ""
		# How long a page listens over one WebSocket: then it comes again, and is asked who it is.
		stream_timeout 15m
		# New configuration closes none at once.
		stream_close_delay 5m
	}
}

# HTTP: ACME's challenges, which Caddy answers by itself, and the way to HTTPS, at our own name whatever was asked for.
http:// {
	redir $URL{uri} 308
}

https://$DOMAIN {
	$TLS
	import common
	route {
$STRIPPED
		handle /-/* {
			reverse_proxy unix/$ROOT/login/login.sock {
				header_up X-Tranship-Address {client_ip}
				header_up X-Tranship-Peer {remote_host}
			}
		}
		handle {
			forward_auth unix/$ROOT/login/login.sock {
				uri /-/check
				# A question, not the WebSocket that it is asked about.
				header_up -Upgrade
				header_up -Connection
				header_up X-Tranship-Address {client_ip}
				header_up X-Tranship-Peer {remote_host}
				copy_headers X-Tranship-User X-Tranship-Role
			}
$UNBELIEVED
			@operator header X-Tranship-Role operator
			handle @operator {
				import webserver operators
			}
			@viewer header X-Tranship-Role viewer
			handle @viewer {
				import webserver viewers
			}
			handle {
				respond "You have no role here." 403
			}
		}
	}
}

# A name that is not ours. It has no certificate of its own: the settings above are then those of the domain by name, which
# Caddy would otherwise put its own in front of for names like localhost.
https:// {
	respond "This server is not known by that name." 421
}
"""


def caddyfile(settings: Settings, certificate: Path | None = None, key: Path | None = None) -> str:
    """The configuration as text.

    Args:
        settings: The settings.
        certificate: For `files`: the copy of the certificate that is to be served.
        key: For `files`: the copy of its key.
    """
    headers = settings.identity_headers
    # The login may see what a company's proxy says of the user; nobody behind it does.
    believed = [
        pattern for pattern in _STRIPPED if any(_covers(pattern, header) for header in headers)
    ]
    stripped = _without([pattern for pattern in _STRIPPED if pattern not in believed], 2)
    unbelieved = _without([*_STRIPPED[1:], *headers], 3) if headers else ""
    hsts = (
        f'\n\t\tStrict-Transport-Security "max-age={settings.hsts_seconds}"'
        if settings.hsts_seconds
        else ""
    )
    values = {
        "HTTP_LISTEN": str(settings.http_listen),
        "HTTPS_LISTEN": str(settings.https_listen),
        "DOMAIN": f"[{settings.domain}]" if ":" in settings.domain else settings.domain,
        "RENEW_CHECK": str(settings.renew_check_seconds),
        "TRUSTED": _trusted(settings),
        "HSTS": hsts,
        "ROOT": str(settings.root),
        "RUN": str(settings.run),
        "URL": settings.url,
        "TLS": _tls(settings, certificate, key),
        "STRIPPED": stripped,
        "UNBELIEVED": unbelieved,
    }
    text = _TEMPLATE
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"${name}", values[name])
    return text


def _without(patterns: Iterable[str], depth: int) -> str:
    return "\n".join("\t" * depth + f"request_header -{pattern}" for pattern in patterns)


def _covers(pattern: str, header: str) -> bool:
    return fnmatch(header.lower(), pattern.lower())


def _trusted(settings: Settings) -> str:
    if not settings.trusted_proxies:
        return ""
    networks = " ".join(settings.trusted_proxies)
    return f"\n\t\ttrusted_proxies static {networks}\n\t\ttrusted_proxies_strict"


def _tls(settings: Settings, certificate: Path | None, key: Path | None) -> str:
    if settings.tls == FILES:
        return f"tls {certificate} {key} {{\n\t\tprotocols tls1.2 tls1.3\n\t}}"
    if settings.tls == ACME:
        lines = [f"dir {settings.acme_directory}"]
        if settings.email:
            lines.append(f"email {settings.email}")
        if settings.acme_authority is not None:
            lines.append(f"trusted_roots {settings.acme_authority}")
        lines.append("disable_tlsalpn_challenge")
        inner = "".join(f"\n\t\t\t{line}" for line in lines)
        issuer = f"issuer acme {{{inner}\n\t\t}}"
    else:
        issuer = f"issuer internal {{\n\t\t\tlifetime {settings.internal_seconds}s\n\t\t}}"
    renewal = f"renewal_window_ratio {settings.renew_percent / 100}"
    return f"tls {{\n\t\tprotocols tls1.2 tls1.3\n\t\t{renewal}\n\t\t{issuer}\n\t}}"
