//! What the benchmarks share: the cases, fair timing, and the count of allocations.

mod cases;

use std::time::{Duration, Instant};

pub use cases::*;

/// Times all cases in turn, again and again, and returns the median of each.
pub fn interleaved(cases: &mut [Case]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); cases.len()];
    let rounds: Vec<_> = cases.iter_mut().map(|case| rounds(&mut case.run)).collect();
    for _ in 0..SAMPLES {
        for ((case, rounds), times) in cases.iter_mut().zip(&rounds).zip(&mut times) {
            times.push(time(&mut case.run, *rounds));
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times.swap_remove(times.len() / 2)
    };
    times.into_iter().map(median).collect()
}

/// Returns how many calls take about two milliseconds.
fn rounds(run: &mut dyn FnMut()) -> u32 {
    let mut rounds = 1;
    while rounds < 1 << 20 && time(run, rounds) * rounds < Duration::from_millis(2) {
        rounds *= 2;
    }
    rounds
}

fn time(run: &mut dyn FnMut(), rounds: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
        run();
    }
    start.elapsed() / rounds
}

/// Returns how many allocations one call makes, once it is warm.
pub fn allocations(case: &mut Case) -> u64 {
    (0..64).for_each(|_| (case.run)());
    allocation_counter::measure(|| (0..64).for_each(|_| (case.run)())).count_total / 64
}

pub fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

const SAMPLES: usize = 41;
