//! HTTP dates (RFC 9110, 5.6.7) as they come in fields.

use tower_conditional::{HttpDate, Validators};

use crate::support::{
    handler::{self, known},
    harness::{date, rows, status, IMS, IUS, LM},
};

#[test]
fn http_date_has_one_of_three_forms() {
    // 5.6.7: the inner date, and the same in If-Modified-Since.
    let table = "
        Sun, 06 Nov 1994 08:49:37 GMT   | Sunday, 06-Nov-94 08:49:37 GMT
        Sun, 06 Nov 1994 08:49:37 GMT   | Sun Nov  6 08:49:37 1994
        Sunday, 06-Nov-94 08:49:37 GMT  | Sun, 06 Nov 1994 08:49:37 GMT
        Sun, 01 Jan 2017 00:00:00 GMT   | Sat, 31 Dec 2016 23:59:60 GMT
        Thu, 01 Jan 1970 00:00:00 GMT   | Thursday, 01-Jan-70 00:00:00 GMT
        Wed, 31 Dec 1969 23:59:59 GMT   | Wed, 31 Dec 1969 23:59:59 GMT
        Sat, 01 Jan 0000 00:00:00 GMT   | Sat, 01 Jan 0000 00:00:00 GMT
        Tue, 22 Nov 1977 12:00:00 GMT   | Tuesday, 22-Nov-77 12:00:00 GMT
        Fri, 31 Dec 9999 23:59:59 GMT   | Fri, 31 Dec 9999 23:59:59 GMT
    ";
    for row in rows(table) {
        let given = row[0].parse::<HttpDate>().unwrap();
        let layer = known(Validators::new().last_modified(given).into());
        assert_eq!(
            [IMS, IUS].map(|name| handler::send(layer.clone(), "GET", &[(name, row[1])]).status()),
            [304, 200],
            "{row:?}"
        );
    }
    // Refusing a valid date would let the request through.
    for since in [
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Sat, 31 Dec 2016 23:59:60 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        assert_eq!(status(&[(IUS, since)], &[(LM, &date(-60))]), 412, "{since}");
    }
    // Anything else has the field ignored, be it 11:59:00 in every other respect.
    let table = "
        Sun, 22 Nov 2026 11:59:00 GMT; length=7 | Sun, 22 Nov 2026 11:59:00 GMT, Sun, 22 Nov 2026 11:59:00 GMT
        Sun, 22 Nov 2026 11:59:00 GMT & Sun, 22 Nov 2026 11:59:00 GMT | Sun, 22 Nov 2026 11:59:00 +0000
        Sun, 22 Nov 2026 11:59:00 UTC | sun, 22 nov 2026 11:59:00 gmt | Sun, 31 Nov 2026 11:59:00 GMT
        Mon, 30 Feb 2026 11:59:00 GMT | Sun, 22 Nov 2026 11:58:61 GMT | Sun, 22 Nov 2026  11:59:00 GMT
        Sun, 22 Nov 2026 11:59:00 | 2026-11-22T11:59:00Z | 1795348740 | é |
    ";
    for cell in rows(table).flatten() {
        for name in [IMS, IUS] {
            let lines: Vec<_> = cell.split('&').map(|line| (name, line.trim())).collect();
            assert_eq!(status(&lines, &[(LM, &date(-60))]), 200, "{lines:?}");
        }
    }
}
