//! Random inputs, read by ours and by a crate or server that does the same.
//!
//! Each difference belongs to a named row, which says who is right, and why. Any other
//! fails the test. Inputs that were once a surprise are the examples of their rows.
//!
//! `PEERS=1000000 cargo test -p interop --test peers -- --nocapture` runs as many
//! rounds of each, and prints how many inputs fell under each row.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod dates;
mod entity_tags;
#[path = "../../../../tests/fuzz/src/input.rs"]
#[allow(dead_code)]
mod input;
mod merging;
mod preconditions;
#[path = "../../../../tests/support/random.rs"]
mod random;
mod ranges;

use std::{env, fmt::Debug};

use input::Input;
use random::numbers;

/// A known difference.
struct Row<Case, Answer> {
    name: &'static str,
    right: Right,
    /// The section of the RFC, or another reason.
    because: &'static str,
    /// An input that shows it.
    example: fn() -> Case,
    /// Tells whether it explains why the answers, ours first, are not the same.
    explains: fn(&Case, &Answer, &Answer) -> bool,
}

/// Who is right.
#[derive(Clone, Copy, Debug)]
enum Right {
    Ours,
    Theirs,
    /// The RFC leaves it open.
    Either,
}

/// Two readers of the same input.
struct Comparison<'a, Case, Answer> {
    peer: &'a str,
    rows: &'a [Row<Case, Answer>],
    ours: fn(&Case) -> Answer,
    theirs: fn(&Case) -> Answer,
}

impl<Case: Debug, Answer: Debug + Default + PartialEq> Comparison<'_, Case, Answer> {
    /// Compares random cases, as many as there are rounds.
    fn run(&self, generate: impl Fn(&mut Input<'_>) -> Case) {
        self.run_all((1..=rounds()).map(|seed| {
            let mut number = numbers(seed);
            let bytes: Vec<u8> = (0..16).flat_map(|_| number().to_le_bytes()).collect();
            generate(&mut Input(&bytes))
        }));
    }

    /// Compares the examples of the rows, then these cases.
    fn run_all(&self, cases: impl Iterator<Item = Case>) {
        for (place, row) in self.rows.iter().enumerate() {
            let (peer, name) = (self.peer, row.name);
            assert_eq!(self.explained(&(row.example)()), Some(place), "{peer}: {name}");
        }
        let mut differences = vec![0_u64; self.rows.len()];
        let (mut rounds, mut agreed) = (0_u64, 0);
        for case in cases {
            rounds += 1;
            match self.explained(&case) {
                Some(place) => differences[place] += 1,
                None => agreed += u64::from((self.ours)(&case) != Answer::default()),
            }
        }
        println!("{}: {rounds} rounds", self.peer);
        for (row, count) in self.rows.iter().zip(differences) {
            println!("{count:>9} {}: {:?} ({})", row.name, row.right, row.because);
        }
        println!("{agreed:>9} agreed on something, the others that there is nothing");
        // It is no proof if nothing is accepted.
        assert!(agreed > rounds / 20, "{}: too little is accepted", self.peer);
    }

    /// Returns the place of the row that explains a difference; `None` if there is
    /// none.
    fn explained(&self, case: &Case) -> Option<usize> {
        let (ours, theirs) = ((self.ours)(case), (self.theirs)(case));
        if ours == theirs {
            return None;
        }
        let place = self.rows.iter().position(|row| (row.explains)(case, &ours, &theirs));
        let peer = self.peer;
        assert!(place.is_some(), "{peer}: {case:?}: ours {ours:?}, theirs {theirs:?}");
        place
    }
}

fn rounds() -> u64 {
    env::var("PEERS").map_or(2_000, |text| text.parse().unwrap())
}
