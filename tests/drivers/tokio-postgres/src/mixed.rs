//! The workers, their random choices and the report; ../README.md says what each operation does.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

pub const GRACE: Duration = Duration::from_secs(20);

pub struct Worker {
    pub number: i32,
    pub sequence: i32,
    pub schema: String,
    random: u64,
    n_done: usize,
}

/// Whom all workers tell what they do.
#[derive(Default)]
pub struct Report {
    counts: BTreeMap<&'static str, u64>,
    doing: BTreeMap<i32, &'static str>,
    unexpected: Vec<String>,
}

pub fn setting<T: FromStr>(name: &str) -> T {
    let text = env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

/// Each kind as often as it is drawn.
pub fn drawn(kinds: &[&'static str]) -> Vec<&'static str> {
    let mix: String = setting("WEIR_MIX");
    let words = mix.split(' ').filter_map(|word| word.split_once('='));
    words
        .filter_map(|(name, weight)| Some((*kinds.iter().find(|kind| **kind == name)?, weight.parse().ok()?)))
        .flat_map(|(kind, weight)| std::iter::repeat_n(kind, weight))
        .collect()
}

impl Worker {
    pub fn new(number: i32) -> Worker {
        let seed: u64 = setting("WEIR_SEED");
        Worker {
            number,
            sequence: 0,
            schema: format!("s{}", number % 4),
            random: seed * 1000 + number as u64,
            n_done: 0,
        }
    }

    /// A number that this worker has not used yet.
    pub fn next(&mut self) -> i32 {
        self.sequence += 1;
        self.sequence
    }

    /// splitmix64
    pub fn below(&mut self, limit: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    /// Each kind once, then at random.
    pub fn kind(&mut self, kinds: &[&'static str], drawn: &[&'static str]) -> &'static str {
        self.n_done += 1;
        if self.n_done <= kinds.len() {
            return kinds[(self.n_done + self.number as usize) % kinds.len()];
        }
        drawn[self.below(drawn.len())]
    }
}

impl Report {
    pub fn begins(&mut self, worker: i32, kind: &'static str) {
        self.doing.insert(worker, kind);
    }

    pub fn ends(&mut self, worker: i32, kind: &'static str, outcome: Outcome) {
        self.doing.remove(&worker);
        match outcome {
            Ok(()) => *self.counts.entry(kind).or_default() += 1,
            Err(error) => self.unexpected.push(format!("connection {worker}, {kind}: {error:?}")),
        }
    }

    pub fn stuck(&mut self) {
        let stuck = self.doing.iter().map(|(worker, kind)| format!("connection {worker} is stuck in {kind}"));
        self.unexpected.extend(stuck);
    }

    /// The exit status.
    pub fn tell(&self) -> u8 {
        for (kind, count) in &self.counts {
            println!("{kind} {count}");
        }
        for text in &self.unexpected {
            println!("unexpected: {text}");
        }
        u8::from(!self.unexpected.is_empty())
    }
}
