//! `cargo run --release -p bakelite-fuzz -- TARGET MINUTES [SEED]`, and `… -- TARGET FILE` to try one input again.
#![expect(clippy::print_stderr, reason = "this program's reports")]
#![expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "an input that hangs cannot be ended otherwise"
)]

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bakelite_fuzz::bench::Bench;
use bakelite_fuzz::target::Target;
use bakelite_fuzz::watch::Watch;
use bakelite_fuzz::{grammar, mutate, seeds};
use fastrand::Rng;

/// The least stack that a thread of the program has.
const STACK: usize = 2 << 20;
/// Inputs kept, at most.
const KEPT: usize = 20_000;

const WORDS: &[&str] = &[
    "${",
    "%{",
    "}",
    "{{",
    "}}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "<<E\n",
    "\nE\n",
    "...",
    "=>",
    "for",
    "in",
    "if",
    "else",
    "endif",
    "endfor",
    "null",
    "var.",
    "local.",
    "data.",
    "[*]",
    ".*",
    "\n",
    "#",
    "/*",
    "*/",
    "==",
    "&&",
    "1e19000",
    "9223372036854775808",
    "-0",
    "\u{301}",
    "\u{feff}",
    "\r\n",
    "\\u0000",
    "~",
    ":",
    ",",
    "=",
    "::",
    "?",
    "../",
    "/",
    "\0",
    "\n",
    "C0644 1 ",
    "D0755 0 ",
    "E\n",
    "<a>",
    "</a>",
    " xmlns:a='",
    "<![CDATA[",
    "SHA256:",
    "\r\n\r\n",
    "NTLMSSP\0",
    "--Encrypted Boundary",
    "path=",
    "&",
    "%",
    ";",
    "Filter.1.Value.1=",
    "AWS4-HMAC-SHA256 Credential=",
    "\x07\x04",
    "\x0b\x01",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = Target::ALL
        .into_iter()
        .find(|target| arguments.first().is_some_and(|name| name == target.name()));
    let (Some(target), Some(what)) = (target, arguments.get(1)) else {
        let names = Target::ALL.map(Target::name).join("|");
        eprintln!("usage: bakelite-fuzz {names} MINUTES|FILE [SEED]");
        return ExitCode::from(2);
    };
    let seed = arguments.get(2).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let what = what.clone();
    let work = move || match what.parse::<f64>() {
        Ok(minutes) => fuzz(target, Duration::from_secs_f64(minutes * 60.0), seed),
        Err(_) => again(target, Path::new(&what)),
    };
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(work);
    match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(true))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::FAILURE,
    }
}

/// Tries one input, as it was found.
fn again(target: Target, file: &Path) -> std::io::Result<bool> {
    let input = std::fs::read(file)?;
    let directory = tempfile::tempdir()?;
    let watch = Watch::new(directory.path().join("input"));
    let bench = Bench::new(directory.path())?;
    watch.begin(&input)?;
    let started = Instant::now();
    bench.try_out(target, &input);
    eprintln!("{:?}", started.elapsed());
    Ok(watch.end().is_none())
}

/// Tries inputs for a time. True when nothing went wrong.
fn fuzz(target: Target, time: Duration, seed: u64) -> std::io::Result<bool> {
    let directory = tempfile::tempdir_in(in_memory())?;
    let watch = Arc::new(Watch::new(in_memory().join(format!("bakelite-fuzz-{}", target.name()))));
    let bench = Bench::new(directory.path())?;
    let watched = Arc::clone(&watch);
    std::thread::spawn(move || {
        let wrong = watched.look();
        let input = std::fs::read(&watched.input).unwrap_or_default();
        eprintln!("{wrong}: {}", keep(target, &input).display());
        std::process::exit(1);
    });
    let functions = bench.functions();
    let words: Vec<&str> = WORDS.iter().chain(&functions).copied().collect();
    let mut rng = Rng::with_seed(seed);
    let mut inputs = Vec::new();
    let mut known = HashSet::new();
    let mut pending = seeds::of(target);
    let (mut tried, mut went_wrong) = (0u64, HashSet::new());
    let started = Instant::now();
    let mut told = started;
    while started.elapsed() < time {
        let input = pending
            .pop()
            .unwrap_or_else(|| next(target, &mut rng, &inputs, &words, &functions));
        watch.begin(&input)?;
        let result = catch_unwind(AssertUnwindSafe(|| bench.try_out(target, &input)));
        let wrong = match &result {
            Ok(_) => watch.end(),
            Err(panic) => {
                watch.end();
                let text = panic.downcast_ref::<String>().cloned();
                Some(
                    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                        .unwrap_or_default(),
                )
            }
        };
        tried += 1;
        if let Some(wrong) = wrong {
            let kind: String = wrong.chars().filter(|next| !next.is_ascii_digit()).take(60).collect();
            if went_wrong.insert(kind) {
                eprintln!("{wrong}: {}", keep(target, &input).display());
            }
            if wrong.contains("MiB") {
                // The peak stays, and every further input would be blamed for it.
                return Ok(false);
            }
        }
        if let Ok(reached) = result
            && reached.is_new(&mut known)
            && inputs.len() < KEPT
        {
            inputs.push(input);
        }
        if told.elapsed() > Duration::from_mins(1) {
            told = Instant::now();
            eprintln!("{tried} inputs, {} things reached, {} kept", known.len(), inputs.len());
        }
    }
    eprintln!(
        "{}: {tried} inputs in {} s, {} things reached, {} kept, {} went wrong",
        target.name(),
        started.elapsed().as_secs(),
        known.len(),
        inputs.len(),
        went_wrong.len()
    );
    Ok(went_wrong.is_empty())
}

/// Where files cost nothing: some file systems wait for the disk whenever a file is replaced.
fn in_memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// Most of the time a change of an input that reached something new, of the latest ones more often; else a new one by the grammar.
fn next(target: Target, rng: &mut Rng, inputs: &[Vec<u8>], words: &[&str], functions: &[&str]) -> Vec<u8> {
    if inputs.is_empty() || (!target.is_of_a_peer() && rng.usize(0..6) == 0) {
        let mut text = String::new();
        let depth = rng.usize(1..6);
        match target {
            Target::Expression => grammar::expression(rng, functions, depth, &mut text),
            Target::Template => grammar::body(rng, functions, depth.min(3), &mut text),
            Target::Json => grammar::json(rng, depth, &mut text),
            Target::Tar | Target::Scp | Target::Sftp | Target::Greeting | Target::WinRm => {}
            Target::Query => grammar::form(rng, &mut text),
            Target::Services => grammar::service(rng, &mut text),
            Target::Signature => grammar::head(rng, &mut text),
            // Nothing but noise: conversations that make sense are among the seeds.
            Target::DataClient | Target::DataAgent | Target::Packets => {
                text.extend((0..depth * 20).map(|_| rng.char('\0'..'\u{7f}')));
            }
        }
        return text.into_bytes();
    }
    let latest = inputs.len().saturating_sub(inputs.len() / 4 + 1);
    let from = if rng.bool() { 0 } else { latest };
    let input = inputs
        .get(rng.usize(from..inputs.len()))
        .map(Vec::as_slice)
        .unwrap_or_default();
    let other = rng.choice(inputs).map(Vec::as_slice).unwrap_or_default();
    mutate::mutated(rng, input, other, words)
}

/// Keeps an input that went wrong.
fn keep(target: Target, input: &[u8]) -> PathBuf {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = seeds::found(target).join(format!("{hash:016x}"));
    if let Some(directory) = path.parent() {
        let _ = std::fs::create_dir_all(directory);
    }
    let _ = std::fs::write(&path, input);
    path
}
