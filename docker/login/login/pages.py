"""The few pages that the service shows: the login, and the account with the way out. No script, nothing from elsewhere."""

import html
from string import Template

# The edge sends no other policy for these pages; style is inline, and that is all that may be.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tranship: $title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; background: #f5f5f7; color: #1d1d1f; margin: 0; }
main { max-width: 22rem; margin: 12vh auto 0; padding: 2rem; background: #fff; border-radius: 12px; border: 1px solid #ddd; }
h1 { font-size: 1.25rem; margin: 0 0 1rem; }
label { display: block; margin-top: 1rem; }
input { box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; border: 1px solid #999; border-radius: 6px; }
button, a.button { display: block; box-sizing: border-box; text-align: center; text-decoration: none; margin-top: 1rem; width: 100%; padding: .6rem; font: inherit; border: 0; border-radius: 6px; background: #1d1d1f; color: #fff; }
p[role=alert] { color: #b00020; }
@media (prefers-color-scheme: dark) {
 body { background: #1d1d1f; color: #f5f5f7; } main { background: #2c2c2e; border-color: #444; }
 input { background: #1d1d1f; color: inherit; } button, a.button { background: #f5f5f7; color: #1d1d1f; } p[role=alert] { color: #ff8a80; }
}
</style>
<main>
<h1>$title</h1>
$content
</main>
</html>
""")


def _page(title: str, content: str) -> str:
    return _PAGE.substitute(title=html.escape(title), content=content)


def _alert(problem: str) -> str:
    return f'<p role="alert">{html.escape(problem)}</p>' if problem else ""


def login_page(form_token: str, problem: str, *, with_password: bool, with_provider: bool) -> str:
    """The login, with a form, a button to the provider, or both.

    Args:
        form_token: What shows that the form is ours.
        problem: Why the last try failed.
        with_password: Whether there is a form for name and password.
        with_provider: Whether there is a button to the identity provider.
    """
    token = f'<input type="hidden" name="form_token" value="{html.escape(form_token)}">'
    parts = [_alert(problem)]
    if with_password:
        parts.append(
            f'<form method="post" action="/-/login">{token}'
            '<label>Name<input name="name" autocomplete="username" autocapitalize="none" required autofocus></label>'
            '<label>Password<input name="password" type="password" autocomplete="current-password" required></label>'
            '<button type="submit">Log in</button></form>'
        )
    if with_provider:
        # A link and no form: a form that ends at the provider would have to be allowed its address by the policy.
        parts.append(
            '<p><a class="button" href="/-/oidc/start">Log in with your organisation</a></p>'
        )
    return _page("Log in", "\n".join(parts))


def account_page(form_token: str, user: str, role: str) -> str:
    """Who is logged in, and the two ways out."""
    token = f'<input type="hidden" name="form_token" value="{html.escape(form_token)}">'
    content = (
        f"<p>You are <strong>{html.escape(user)}</strong>, {html.escape(role)}.</p>"
        f'<form method="post" action="/-/logout">{token}<button type="submit">Log out</button></form>'
        f'<form method="post" action="/-/logout">{token}<input type="hidden" name="everywhere" value="yes">'
        '<button type="submit">Log out everywhere</button></form>'
        '<p><a href="/">Back</a></p>'
    )
    return _page("Your account", content)


def message_page(title: str, text: str) -> str:
    """A sentence, and a way to the login."""
    return _page(title, f'<p>{html.escape(text)}</p><p><a href="/-/login">Log in</a></p>')
