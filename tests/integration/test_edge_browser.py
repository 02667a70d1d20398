"""The operator's pages in a real browser: live, clean, nothing from outside, usable on a phone."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, async_playwright, expect

from gateway.core.ports import Tx
from gateway.core.report import Extraction, Slot
from gateway.flow.settle import parked
from tests.integration.edge_rig import NOW, Edge, in_review, serving, work_order
from tests.integration.test_edge_live import batch, fill

CHROMIUM = os.environ.get("ANDON_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
PATIENCE_MS = 10_000


@asynccontextmanager
async def looking(edge: Edge, **context: Any) -> AsyncIterator[Page]:
    """Open a browser; at the end it must have seen no error and nothing from another origin."""
    wrong: list[str] = []
    async with async_playwright() as play:
        browser = await play.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            opened = await browser.new_context(**context)
            page = await opened.new_page()
            page.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            page.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda asked: None if asked.url.startswith(edge.url) else wrong.append(asked.url))
            yield page
        finally:
            await browser.close()
    assert wrong == []


async def test_the_pages_live_without_an_error_or_a_foreign_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await fill(edge)
        async with looking(edge, locale="en-GB", viewport={"width": 1400, "height": 900}) as page:
            for path in ("/ui/line", "/ui/orders", "/ui/review", "/schema", f"/ui/orders/{work_order('r2').key}"):
                await page.goto(edge.url + path)
                await expect(page.locator("h1")).to_be_visible()
            await page.goto(f"{edge.url}/ui/line")
            await expect(page.locator("#live")).to_have_text("live")
            value = page.locator('[data-tile="M-07"] [data-value="M-07/speed"]')
            await expect(value).to_have_text("1797")
            edge.gateway.live.note(_faster())
            await expect(value).to_have_text("1850")
            await page.locator('[data-tile="M-07"]').click()
            await expect(page.locator("#thermal-note")).to_contain_text("71.5 °C")
            await expect(page.locator("#rms")).not_to_have_text("–")
            await expect(page.locator(".verdict")).to_contain_text("bearing outer race defect")


def _faster() -> Any:
    now = datetime.now(UTC)
    seen = batch()
    faster = msgspec.structs.replace(seen.readings[0], value=1850.0, sourced_at=now)
    return msgspec.structs.replace(seen, readings=(faster,))


async def test_a_report_shows_what_was_read_out_of_it_beside_the_text(tmp_path: Path) -> None:
    text = "M-07 主轴轴承异响 😀"
    async with serving(tmp_path) as edge, looking(edge, locale="zh-CN") as page:
        await page.goto(f"{edge.url}/q/M-07")
        await page.locator("textarea").fill(text)
        await page.reload()
        await expect(page.locator("textarea")).to_have_value(text)
        await page.get_by_role("button", name="发送").click()
        await expect(page.locator(".told")).to_contain_text("已接收")
        [held] = await edge.gateway.store.read(lambda tx: tx.reports())
        assert (held.report.text, held.report.asset_hint) == (text, "M-07")
        await edge.gateway.store.write(_read(held.report.id))
        await expect(page.locator(".told .slot").first).to_contain_text("轴承")
        await expect(page.locator(".told a")).to_contain_text(work_order("x").key)


def _read(name: str) -> Any:
    def step(tx: Tx) -> None:
        order = work_order("x")
        tx.put_order(order, "main", datetime.now(UTC))
        slots = (Slot("component", 7, 9, "轴承"), Slot("symptom", 9, 11, "异响"))
        taken = tx.report(name)
        assert taken is not None
        read = Extraction(id=name, intent=None, fine_intent=None, asset="M-07", slots=slots, route="order")
        tx.read_report(msgspec.structs.replace(read, masked=taken.report.text), order.key)

    return step


async def test_a_person_settles_a_review_and_the_page_follows(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await edge.gateway.store.write(in_review("r1"))
        async with looking(edge, locale="en-GB") as page:
            await page.goto(f"{edge.url}/ui/review")
            await page.locator("select[name=asset]").select_option("M-07")
            await page.locator("input[name=failure_modes]").fill("NOI")
            await page.get_by_role("button", name="Confirm").click()
            await expect(page.locator("main")).to_contain_text("Nobody waits.")
        held = await edge.gateway.store.read(lambda tx: tx.report("r1"))
        assert held is not None and held.order_key == work_order("r1").key


async def test_an_order_is_sent_again_and_taken_back_on_its_page(tmp_path: Path) -> None:
    def fill_orders(tx: Tx) -> None:
        tx.put_order(work_order("r1"), "main", NOW)
        [claimed] = tx.claim("main", NOW, timedelta(seconds=30), 1)
        tx.settle(claimed.delivery, parked(claimed.delivery, "unknown equipment", NOW).delivery)

    async with serving(tmp_path, anonymous=("read", "orders:write")) as edge:
        await edge.gateway.store.write(fill_orders)
        async with looking(edge, locale="en-GB") as page:
            await page.goto(f"{edge.url}/ui/orders/{work_order('r1').key}")
            await page.get_by_role("button", name="Send again").click()
            await expect(page.locator(".s-waiting")).to_be_visible()
            await expect(page.get_by_role("button", name="Send again")).to_have_count(0)
            await page.get_by_label("Reason, for the ERP").fill("the sensor was loose")
            await page.get_by_role("button", name="Take the order back").click()
            await expect(page.locator("main")).to_contain_text("Is being taken back: the sensor was loose")
            await expect(page.get_by_role("button", name="Take the order back")).to_have_count(0)
        held = await edge.gateway.store.read(lambda tx: tx.order(work_order("r1").key))
        assert held is not None and held.delivery.withdraw == "the sensor was loose"


async def test_a_lost_gateway_is_said_to_be_stale(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        edge.gateway.live.note(batch())
        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await browser.new_page(locale="en-GB")
            await page.goto(f"{edge.url}/ui/line")
            await expect(page.locator("#live")).to_have_text("live", timeout=PATIENCE_MS)
            edge.server.stop()
            await expect(page.locator("#live")).to_contain_text("stale", timeout=PATIENCE_MS)
            await browser.close()


async def test_a_phone_needs_no_sideways_scrolling_and_has_targets_for_gloves(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge:
        await fill(edge)
        async with looking(edge, locale="zh-CN", viewport={"width": 390, "height": 844}, has_touch=True) as page:
            for path in ("/ui/line", "/ui/equipment/M-07", "/ui/orders", "/ui/review", "/q/M-07"):
                await page.goto(edge.url + path)
                await expect(page.locator("#live")).to_have_text("实时")
                wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, path
                for button in await page.locator("main .button, nav a").all():
                    box = await button.bounding_box()
                    assert box is not None and box["height"] >= 44, (path, await button.inner_text())


async def test_the_theme_and_the_language_are_kept(tmp_path: Path) -> None:
    async with serving(tmp_path) as edge, looking(edge, locale="en-GB", color_scheme="light") as page:
        await page.goto(f"{edge.url}/ui/orders")
        await page.get_by_role("button", name="dark").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.get_by_role("button", name="中文").click()
        await expect(page.locator("h1")).to_have_text("工单")
        assert page.url == f"{edge.url}/ui/orders"
