//! Instructions an operation, counted by callgrind: the same on every run and under any load, unlike times.

use std::env;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::pieces;

/// What a piece is run for once and for the other time; the difference leaves out all that is done once.
const FEW: u64 = 100;
const MANY: u64 = 1100;

/// Prints a table of all pieces.
///
/// # Errors
/// If there is no valgrind, or it says nothing.
pub fn run() -> Result<()> {
    println!("| piece | instructions |\n|---|---:|");
    for piece in pieces::all() {
        let spent = count(piece.name, MANY)?.saturating_sub(count(piece.name, FEW)?);
        let each = spent as f64 / ((MANY - FEW) * piece.elements) as f64;
        println!("| {} | {each:.0} |", piece.name);
    }
    Ok(())
}

/// Runs one piece so many times, and nothing else.
///
/// # Errors
/// If there is no piece of that name.
pub fn piece(name: &str, times: u64) -> Result<()> {
    let piece = pieces::all().into_iter().find(|piece| piece.name == name);
    let mut run = (piece.with_context(|| format!("there is no piece {name:?}"))?.make)();
    (0..times).for_each(|_| run());
    Ok(())
}

fn count(name: &str, times: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .args(["piece", name, &times.to_string()])
        .output()
        .context("valgrind is needed: it comes with most systems, as the package `valgrind`")?;
    collected(&output)
}

/// How many instructions callgrind says it has counted.
pub(crate) fn collected(output: &Output) -> Result<u64> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.with_context(|| format!("callgrind counted nothing: {said}"))?;
    Ok(count.trim().parse()?)
}
