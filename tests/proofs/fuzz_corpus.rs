//! What the fuzz targets claim, tried with seeds, with what fuzzing found, and with
//! random bytes; the same every time.

use crate::support::random::numbers;

#[path = "../fuzz/src/lib.rs"]
mod claims;

/// Random bytes: as many as `len` at most.
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut next = numbers(seed);
    let len = next() as usize % (len + 1);
    (0..len).map(|_| (next() >> 24) as u8).collect()
}

/// Random members of an alphabet.
fn random_text(seed: u64, len: usize, alphabet: &[&str]) -> Vec<u8> {
    let bytes = random(seed, len);
    bytes
        .iter()
        .map(|&byte| alphabet[usize::from(byte) % alphabet.len()].as_bytes())
        .collect::<Vec<_>>()
        .concat()
}

#[test]
fn fuzz_entity_tags_are_what_a_naive_reader_finds() {
    let alphabet = [
        "\"", "\"", "\"a\"", "W/", "W/\"b\"", ",", ", ", " ", "\t", "\n", "a", "w/", "*", "b,c",
        "\"\"", "x y",
    ];
    for seed in 0..8_000 {
        claims::entity_tags::holds(&random_text(seed, 12, &alphabet));
    }
    for seed in 0..2_000 {
        claims::entity_tags::holds(&random(seed, 40));
    }
}

#[test]
fn fuzz_dates_are_what_another_parser_reads() {
    let alphabet = [
        "Sun, ",
        "Sunday, ",
        "Sun ",
        "06 Nov 1994 ",
        "06-Nov-94 ",
        "Nov  6 ",
        "29 Feb 2000 ",
        "31 Apr 2001 ",
        "Feb 29 ",
        "01-Jan-70 ",
        "08:49:37 ",
        "23:59:60 ",
        "00:00:00 ",
        "24:00:00 ",
        "GMT",
        "1994",
        "2100",
        "0000",
        "9999",
        "1969",
    ];
    for seed in 0_u64..8_000 {
        let mut input = seed.to_be_bytes().repeat(2)[..8].to_vec();
        input.extend(random_text(seed, 5, &alphabet));
        claims::dates::holds(&input);
        claims::dates::holds(&random(seed, 40));
    }
    for [day, date, time, end] in [
        ["Sun, ", "06 Nov 1994 ", "08:49:37 ", "GMT"],
        ["Monday, ", "06-Nov-94 ", "08:49:37 ", "GMT"],
        ["Sunday, ", "31-Dec-69 ", "23:59:60 ", "GMT"],
        ["Sun ", "Nov  6 ", "08:49:37 ", "1994"],
        ["Mon ", "Feb 29 ", "00:00:00 ", "1900"],
        ["Sun, ", "31 Apr 2001 ", "08:49:37 ", "GMT"],
    ] {
        for now in [[0; 8], [0xFF; 8], [0, 0, 0, 14, 200, 0, 0, 0]] {
            claims::dates::holds(&[&now[..], [day, date, time, end].concat().as_bytes()].concat());
        }
    }
    // Found by fuzzing: the other parser takes a vertical tab for white space, and no
    // field may hold one.
    claims::dates::holds(b"\xF8\x8A\x4F\x06\x2B\x19\x0A\x81Fri Sep  4 09:00:00 9007 \x0B ");
}

#[test]
fn fuzz_preconditions_are_decided_as_the_naive_rules_do() {
    for seed in 0..8_000 {
        claims::preconditions::holds(&random(seed, 60));
    }
}

#[test]
fn fuzz_ranges_are_what_a_naive_reader_cuts_out() {
    let alphabet = [
        "bytes=",
        "BYTES=",
        "0",
        "1",
        "7",
        "39",
        "79",
        "80",
        "-",
        "-",
        ",",
        " ",
        "18446744073709551616",
        "x",
    ];
    for seed in 0..8_000 {
        let mut input = random(seed, 20);
        input.resize(20, 0);
        input.extend(b"bytes=");
        input.extend(random_text(seed, 5, &alphabet[2..]));
        claims::ranges::holds(&input);
        claims::ranges::holds(&random_text(seed, 8, &alphabet));
    }
}

#[test]
fn fuzz_service_makes_no_wrong_answer() {
    // Long enough for a resource to be asked for, changed, and asked for again.
    let resumed = (0..400).map(|seed| claims::service::holds(&random(seed, 3_000)));
    let resumed: usize = resumed.sum();
    assert!(resumed >= 100, "{resumed} parts by If-Range");
}
