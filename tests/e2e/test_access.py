"""Log in, tokens, log out, and the API's description, as people use them in a browser."""

from __future__ import annotations

from playwright.sync_api import expect

from backend.client import Client, calls

PATIENCE_MS = 30_000


def test_the_api_s_description_opens_and_sends_a_request(quiet_server, open_window):
    window = open_window(f"{quiet_server.url}/api/docs?token={quiet_server.token}", quiet_server.url)
    page = window.page
    operation = page.locator("#operations-access-me_api_v1_me_get")
    operation.locator(".opblock-summary-control").click(timeout=PATIENCE_MS)
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    live = operation.locator(".live-responses-table")
    expect(live.locator("tbody .response-col_status").first).to_contain_text("200", timeout=PATIENCE_MS)
    expect(live.locator(".response-col_description").last).to_contain_text('"scope": "admin"')
    # One that sends a body, and with it its Origin.
    change = page.locator("#operations-catalogue-check_api_v1_config_check_post")
    change.locator(".opblock-summary-control").click()
    change.get_by_role("button", name="Try it out").click()
    change.get_by_role("button", name="Execute").click()
    status = change.locator(".live-responses-table tbody .response-col_status").first
    expect(status).to_contain_text("200", timeout=PATIENCE_MS)
    assert window.complaints == [], "no error, and no request to another origin"


def test_a_token_is_created_with_scope_and_expiry_and_pages_offer_what_it_may_do(quiet_server, open_window):
    window = open_window(f"{quiet_server.url}/system?token={quiet_server.token}", quiet_server.url)
    page = window.page
    session = page.get_by_role("region", name="Session")
    expect(session).to_contain_text("server token", timeout=PATIENCE_MS)
    panel = page.get_by_role("region", name="Access tokens")
    panel.get_by_label("Recipient").fill("owner")
    page.locator("#token-scope").get_by_text("Launch", exact=True).click()
    panel.get_by_label("Expiry").click()
    page.get_by_role("option", name="7 days").click()
    panel.get_by_role("button", name="Create token").click()
    link = panel.locator("pre").inner_text(timeout=PATIENCE_MS)
    with Client(quiet_server.url, quiet_server.token) as client:
        made = client(calls.tokens())[0]
    assert (made.name, made.scope) == ("owner", "launch")
    row = panel.get_by_role("row").filter(has=page.locator(f"[title='token {made.id}']"))
    expect(row).to_contain_text("Launch")
    expect(row).to_contain_text(made.expires_at[:10])

    other = open_window(link.replace("/?", "/system?"), quiet_server.url)
    theirs = other.page.get_by_role("region", name="Session")
    expect(theirs).to_contain_text(f"owner ({made.id})", timeout=PATIENCE_MS)
    for name in ("Access tokens", "Audit log"):
        expect(other.page.get_by_role("region", name=name)).to_have_count(0)
    other.page.goto(f"{quiet_server.url}/runs")
    expect(other.page.get_by_role("button", name="Pause")).to_be_attached(timeout=PATIENCE_MS)
    expect(other.page.get_by_role("button", name="Delete")).to_have_count(0)
    assert window.complaints == other.complaints == []

    # The audit tells both apart, and ending the token ends its browser.
    audit = page.get_by_role("region", name="Audit log")
    expect(audit).to_contain_text(f"owner ({made.id})", timeout=PATIENCE_MS)
    expect(audit).to_contain_text("server token")
    row.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Token revoked", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    with other.forgiven(401):
        other.page.goto(f"{quiet_server.url}/runs")
        expect(other.page.get_by_text("This page needs the token of its server")).to_be_visible()
    with window.forgiven(401):
        session.get_by_role("button", name="Log out").click()
        expect(page.get_by_text("This page needs the token of its server")).to_be_visible(timeout=PATIENCE_MS)
    assert window.complaints == []
