//! The page of `examples/axum.rs` in a browser: what it shows is what went over the
//! wire, as the browser's own network log has it.
//!
//! Wants Chromium and ChromeDriver (`apt-get install chromium chromium-driver`, or
//! their paths in `CHROME` and `CHROMEDRIVER`). Where they are missing, the tests are
//! reported as ignored.

mod page;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};
use page::{Browser, Page};
use thirtyfour::Key;

fn main() -> ExitCode {
    let browser = Browser::find();
    macro_rules! trials {
        ($($test:ident,)+) => { vec![$({
            let browser = browser.clone();
            Trial::ignorable_test(stringify!($test), move || {
                let Some(browser) = browser else {
                    return Ok(Completion::ignored_with("there is no Chromium with ChromeDriver"));
                };
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(page::in_browser(&browser, stringify!($test), $test));
                Ok(Completion::Completed)
            })
        }),+] };
    }
    let trials = trials![
        the_page_shows_what_went_over_the_wire,
        a_change_is_sent_once_and_a_rollback_brings_the_old_tag_back,
        the_second_editor_gets_412_and_no_edit_is_lost,
        all_of_it_works_by_keyboard,
        what_is_large_or_endless_comes_at_once_and_untagged,
        the_page_fits_a_phone_and_a_desk,
    ];
    let mut arguments = Arguments::from_args();
    // Several browsers at once are slower than one after the other.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

async fn the_page_shows_what_went_over_the_wire(page: &Page) {
    page.until("the page asks by itself", "asked > 1").await;
    page.pause().await;
    let tag = page.row().await.tag;
    assert!(tag.contains('~'), "{tag} names no coding");
    page.ask("nothing").await;
    assert!(page.text("#response").await.contains("Content-Encoding: "));

    for (by, condition, status) in [
        ("nothing", "", 200),
        ("tag", "if-none-match", 304),
        ("tag", "if-none-match", 304),
        ("browser", "", 200), // its cache holds nothing yet
        ("browser", "if-none-match", 304),
    ] {
        let exchange = page.ask(by).await;
        // The browser sends the date as well, if there is one by then.
        let first = exchange.conditions().split(", ").next().unwrap_or_default().to_owned();
        assert_eq!((first.as_str(), exchange.status), (condition, status), "{by}");
        let (row, content) = (page.row().await, exchange.content());
        // The browser takes an encoding, and so the 5 kB come as less than 1 kB.
        let expected = if status == 200 { 300..1000 } else { 0..1 };
        assert!(expected.contains(&content), "{by}: {content} bytes of content");
        assert_eq!((row.status, row.tag), (status, tag.clone()), "{by}");
        // The frames of the chunked coding are no content.
        let frames = if status == 200 { 12 } else { 0 };
        let shown = format!("{} B", 300 + content - frames);
        assert_eq!(row.wire, shown, "{by}: what the page shows of the transfer");
    }

    // A date is there from the second after the first sight of the content on.
    page.ask("date").await;
    while page.row().await.modified == "–" {
        page.ask("date").await;
    }
    let by_date = page.ask("date").await;
    assert_eq!((by_date.conditions().as_str(), by_date.status), ("if-modified-since", 304));
    assert_eq!(page.row().await.status, 304);
    page.no_errors().await;
}

async fn a_change_is_sent_once_and_a_rollback_brings_the_old_tag_back(page: &Page) {
    page.pause().await;
    let before = page.row().await.tag;

    page.click_sends("#flip", &["PUT if-match 204", "GET if-none-match 200"]).await;
    let after = page.row().await;
    assert_ne!(after.tag, before);
    assert_eq!(after.status, 200);
    assert_eq!(page.text("#verdict").await, "Yes.");

    assert_eq!(page.ask("tag").await.status, 304);
    assert_eq!(page.text("#verdict").await, "No.");
    assert_eq!(page.row().await.tag, after.tag);

    page.click_sends("#grow", &["PUT if-match 204", "GET if-none-match 200"]).await;
    for _ in 0..2 {
        page.click_sends("#back", &["PUT if-match 204", "GET if-none-match 200"]).await;
    }
    assert_eq!(page.row().await.tag, before);
    assert_eq!(page.ask("tag").await.status, 304);
    page.no_errors().await;
}

async fn the_second_editor_gets_412_and_no_edit_is_lost(page: &Page) {
    page.pause().await;
    page.click("#editor-a input[name=dark-mode]").await;
    page.click("#editor-b input[name=new-checkout]").await;

    page.click_sends(
        "#editor-a button",
        &["PUT if-match 204", "GET if-none-match 200", "GET  200"],
    )
    .await;
    page.click_sends("#editor-b button", &["PUT if-match 412", "GET if-none-match 304"]).await;
    page.until(
        "the second editor is told",
        "document.querySelector('#editor-b output').textContent.startsWith('412 ')",
    )
    .await;
    let problem = page.text("#editor-b .problem").await;
    assert!(problem.contains(r#""failed_field": "if-match""#), "{problem}");
    page.picture("refused").await;
    // Chromium notes each refusal in the console by itself.
    page.errors_are(&["412 (Precondition Failed)"]).await;

    page.click_sends("#editor-b button:nth-of-type(2)", &["GET  200"]).await;
    page.until("the second editor holds the first one's version", "holds('a') === holds('b')")
        .await;
    assert!(!page.checked("#editor-b input[name=dark-mode]").await, "the first edit is there");
    page.click("#editor-b input[name=new-checkout]").await;
    page.click_sends(
        "#editor-b button",
        &["PUT if-match 204", "GET if-none-match 200", "GET  200"],
    )
    .await;
    page.no_errors().await;
}

/// Each control is reached by Tab, in the order of the page, and does by key what it
/// does by mouse.
async fn all_of_it_works_by_keyboard(page: &Page) {
    page.pause().await;
    // The next Tab starts where the last click was, or the last focus.
    let start =
        "(document.querySelector('h1').tabIndex = -1, document.querySelector('h1').focus(), true)";
    assert!(page.eval::<bool>(start).await);
    let mut reached: Vec<String> = Vec::new();
    loop {
        page.press(Key::Tab).await;
        let name = page
            .eval::<String>(
                "(({ tagName, textContent, name, value }) => tagName === 'BODY' ? '' :
                   tagName === 'INPUT' ? name || value : textContent)(document.activeElement)",
            )
            .await;
        if name.is_empty() || reached.len() > 30 {
            break;
        }
        reached.push(name);
    }
    assert_eq!(
        reached,
        [
            "by",
            "Pause",
            "Flip dark-mode",
            "Add 100 flags",
            "dark-mode",
            "new-checkout",
            "Save",
            "Load again",
            "dark-mode",
            "new-checkout",
            "Save",
            "Load again",
            "Fetch 8 MB",
            "Receive events",
        ]
    );
    for (selector, key, exchanges) in [
        ("#flip", Key::Enter, 2),
        ("#flip", Key::Space, 2),
        ("#editor-a button:nth-of-type(2)", Key::Enter, 1),
    ] {
        let script = format!("(document.querySelector('{selector}').focus(), true)");
        assert!(page.eval::<bool>(&script).await);
        page.press(key).await;
        page.sent(exchanges).await;
    }
    let focus = "(document.querySelector('input[value=tag]').focus(), true)";
    assert!(page.eval::<bool>(focus).await);
    page.press(Key::Right).await;
    page.sent(1).await;
    assert!(page.checked("input[value=date]").await);
    page.no_errors().await;
}

async fn what_is_large_or_endless_comes_at_once_and_untagged(page: &Page) {
    page.pause().await;
    page.click("#large").await;
    page.until("all of it came", "fetched.textContent.endsWith('Tag: none.')").await;
    assert!(page.text("#fetched").await.starts_with("200 8.0 MB: "));
    page.click("#events").await;
    page.until("an event came", "/^[1-9]/.test(heard.textContent)").await;
    page.click("#events").await;
    page.no_errors().await;
}

/// A table that is too wide makes its box overflow, not the page.
const TABLE_FITS: &str = "[...document.querySelectorAll('table')].every((table) => \
     table.offsetWidth <= table.parentElement.clientWidth \
       - 2 * parseFloat(getComputedStyle(table.parentElement).paddingLeft))";

async fn the_page_fits_a_phone_and_a_desk(page: &Page) {
    for width in [360, 1280] {
        page.resize(width).await;
        let (inner, content): (i64, i64) =
            page.eval("[innerWidth, document.documentElement.scrollWidth]").await;
        assert_eq!(inner, width);
        assert!(content <= width, "{content} in {width}");
        let table: bool = page.eval(TABLE_FITS).await;
        assert!(table, "the table is wider than its box at {width}");
        page.picture(&format!("{width}")).await;
    }
    page.no_errors().await;
}
