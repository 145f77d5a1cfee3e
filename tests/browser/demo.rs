//! The page of `examples/axum.rs` in a browser: what it shows is what went over the
//! wire, as the browser's own network log has it.
//!
//! Wants Chromium and ChromeDriver (`apt-get install chromium chromium-driver`, or
//! their paths in `CHROME` and `CHROMEDRIVER`), and says so where they are missing.

mod page;

use page::in_browser;

#[tokio::test]
async fn the_page_shows_what_went_over_the_wire() {
    in_browser("ask", async |page| {
        page.until("the page asks by itself", "asked > 1").await;
        page.pause().await;
        let tag = page.row().await.tag;

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
            assert_eq!(content, if status == 200 { 39 } else { 0 }, "{by}: bytes of content");
            assert_eq!((row.status, row.tag), (status, tag.clone()), "{by}");
            assert_eq!(
                row.wire,
                format!("{} B", 300 + content),
                "{by}: what the page shows of the transfer"
            );
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
    })
    .await;
}

#[tokio::test]
async fn a_change_is_sent_once_and_a_rollback_brings_the_old_tag_back() {
    in_browser("change", async |page| {
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
    })
    .await;
}

#[tokio::test]
async fn the_second_editor_gets_412_and_no_edit_is_lost() {
    in_browser("editors", async |page| {
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
    })
    .await;
}

#[tokio::test]
async fn what_is_large_or_endless_comes_at_once_and_untagged() {
    in_browser("left", async |page| {
        page.pause().await;
        page.click("#large").await;
        page.until("all of it came", "fetched.textContent.endsWith('Tag: none.')").await;
        assert!(page.text("#fetched").await.starts_with("200 8.0 MB: "));
        page.click("#events").await;
        page.until("an event came", "/^[1-9]/.test(heard.textContent)").await;
        page.click("#events").await;
        page.no_errors().await;
    })
    .await;
}

#[tokio::test]
async fn the_page_fits_a_phone_and_a_desk() {
    in_browser("fits", async |page| {
        for width in [360, 1280] {
            page.resize(width).await;
            let (inner, content): (i64, i64) =
                page.eval("[innerWidth, document.documentElement.scrollWidth]").await;
            assert_eq!(inner, width);
            assert!(content <= width, "{content} in {width}");
        }
        page.no_errors().await;
    })
    .await;
}
