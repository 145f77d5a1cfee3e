//! Over loopback: an Axum application with the layer against the same one without, and
//! against what is commonly written in its place.
//!
//! `cargo bench --bench end_to_end` prints the tables; `-- throughput` or `--
//! latencies` one of them. Each server is a process of its own with one thread, and so
//! is the load. Samples alternate; what is compared with the bare application was
//! measured next to it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub
)]

mod load;
#[allow(dead_code)]
#[path = "../support/process.rs"]
mod process;
mod server;
#[path = "../support/usual.rs"]
mod usual;

use std::{env, io};

use process::{at, Process, Server};
use server::{anew, MIDDLE, SMALL};
use tower_conditional::EntityTag;

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", kind] => process::serve(server::make(kind)),
        ["load"] => load::obey(),
        ["throughput"] => throughputs(),
        ["latencies"] => latencies(),
        _ => throughputs().and_then(|()| latencies()),
    }
}

fn throughputs() -> io::Result<()> {
    let mut load = Process::start(&["load"])?;
    let [mut bare, mut layer, mut from_fn, mut header, mut empty] =
        ["bare", "layer", "from_fn", "header", "empty"].map(|kind| Server::start(kind).unwrap());
    println!("\n{:<34} {:>10} {:>8} {:>8} {:>8}", "", "requests/s", "of bare", "us CPU", "of bare");
    for (name, path, bytes) in [
        ("1 KiB", "/small", SMALL),
        ("64 KiB, the same Bytes", "/shared", MIDDLE),
        ("64 KiB, made anew", "/anew", MIDDLE),
    ] {
        println!("{name}, 200");
        throughput(path, "", &mut load, &mut [&mut bare, &mut layer, &mut from_fn, &mut header])?;
        println!("{name}, 304");
        let tag = EntityTag::of(&anew(bytes)).to_string();
        throughput(path, &tag, &mut load, &mut [&mut bare, &mut layer, &mut from_fn, &mut empty])?;
    }
    Ok(())
}

/// Prints requests a second (medians of ratios between neighbours) and processor time a
/// request (over all samples), the first server being the bare application.
fn throughput(
    path: &str,
    tag: &str,
    load: &mut Process,
    servers: &mut [&mut Server],
) -> io::Result<()> {
    let mut rates = vec![Vec::new(); servers.len()];
    let mut costs = vec![(0.0, 0.0); servers.len()];
    for round in 0..=ROUNDS {
        for (i, server) in servers.iter_mut().enumerate() {
            // The bare application knows no conditions.
            let status = if tag.is_empty() || i == 0 { "200" } else { "304" };
            let before = server.process.processor_time();
            let address = &server.address;
            let answer =
                load.ask(&format!("throughput\t{address}\t{path}\t{tag}\t{status}\t{SAMPLE}"))?;
            let numbers: Vec<f64> =
                answer.split('\t').map(|number| number.parse().unwrap()).collect();
            // The first round is to get warm.
            if round > 0 {
                rates[i].push(numbers[0] / numbers[1]);
                costs[i].0 += server.process.processor_time() - before;
                costs[i].1 += numbers[0];
            }
        }
    }
    for (i, server) in servers.iter().enumerate() {
        let ratios = rates[i].iter().zip(&rates[0]).map(|(rate, bare)| rate / bare).collect();
        let [cost, bare] = [i, 0].map(|i| 1e6 * costs[i].0 / costs[i].1);
        let (rate, ratio) = (at(0.5, rates[i].clone()), at(0.5, ratios));
        println!(
            "  {:<32} {rate:>10.0} {ratio:>8.2} {cost:>8.1} {:>8.2}",
            server.kind,
            cost / bare
        );
    }
    Ok(())
}

/// Prints how long something small takes, by itself and with something large beside it
/// on the same thread: medians of each sample's percentiles.
fn latencies() -> io::Result<()> {
    let mut load = Process::start(&["load"])?;
    let servers = ["bare", "layer", "from_fn"].map(|kind| Server::start(kind).unwrap());
    println!(
        "\n{:<34} {:>10} {:>8} {:>8} {:>8}",
        "1 KiB, us until answered", "median", "p90", "p99", "most"
    );
    for (name, beside) in [("alone", "alone"), ("with 8 MiB beside", "beside")] {
        let mut percentiles = [const { [const { Vec::new() }; PARTS.len()] }; 3];
        for _ in 0..ROUNDS {
            for (server, percentiles) in servers.iter().zip(&mut percentiles) {
                let answer =
                    load.ask(&format!("latencies\t{}\t{beside}\t{}", server.address, 4 * SAMPLE))?;
                let taken: Vec<f64> =
                    answer.split('\t').map(|number| number.parse().unwrap()).collect();
                for (part, percentiles) in PARTS.iter().zip(percentiles) {
                    percentiles.push(at(*part, taken.clone()));
                }
            }
        }
        println!("{name}");
        for (server, percentiles) in servers.iter().zip(percentiles) {
            let [median, p90, p99, most] = percentiles.map(|percentile| at(0.5, percentile));
            println!("  {:<32} {median:>10.0} {p90:>8.0} {p99:>8.0} {most:>8.0}", server.kind);
        }
    }
    Ok(())
}

const PARTS: [f64; 4] = [0.5, 0.9, 0.99, 1.0];
const ROUNDS: usize = 25;
/// In milliseconds.
const SAMPLE: u64 = 100;
