//! Threads on cores of their own.

use crate::config::Pinning;
use crate::error::StartError;

/// The core on which a lane is to run, if it matters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(Option<Core>);

/// The cores for this many lanes, each of them known to exist.
pub(crate) fn places(pinning: &Pinning, lanes: usize) -> Result<Vec<Place>, StartError> {
    let chosen = match pinning {
        Pinning::None => return Ok(vec![Place(None); lanes]),
        Pinning::Cores => cores()?,
        Pinning::Chosen(numbers) => choose(numbers)?,
    };
    if chosen.is_empty() {
        return Err(StartError::NoCores);
    }
    Ok(chosen.into_iter().cycle().take(lanes).map(|core| Place(Some(core))).collect())
}

impl Place {
    /// Puts the calling thread there.
    pub(crate) fn settle(self) -> Result<(), StartError> {
        match self.0 {
            Some(core) => pin(core),
            None => Ok(()),
        }
    }
}

fn choose(numbers: &[usize]) -> Result<Vec<Core>, StartError> {
    let cores = cores()?;
    let find = |&number: &usize| {
        let core = cores.iter().find(|core| number_of(**core) == number);
        core.copied().ok_or(StartError::NoSuchCore { core: number })
    };
    numbers.iter().map(find).collect()
}

#[cfg(feature = "pin")]
use core_affinity::CoreId as Core;

#[cfg(feature = "pin")]
fn cores() -> Result<Vec<Core>, StartError> {
    core_affinity::get_core_ids().ok_or(StartError::PinningUnavailable)
}

#[cfg(feature = "pin")]
fn number_of(core: Core) -> usize {
    core.id
}

#[cfg(feature = "pin")]
fn pin(core: Core) -> Result<(), StartError> {
    if core_affinity::set_for_current(core) {
        Ok(())
    } else {
        Err(StartError::PinningRefused { core: core.id })
    }
}

/// No core is known, so none of this type exists.
#[cfg(not(feature = "pin"))]
#[derive(Debug, Clone, Copy)]
enum Core {}

#[cfg(not(feature = "pin"))]
fn cores() -> Result<Vec<Core>, StartError> {
    Err(StartError::PinningUnavailable)
}

#[cfg(not(feature = "pin"))]
fn number_of(core: Core) -> usize {
    match core {}
}

#[cfg(not(feature = "pin"))]
fn pin(core: Core) -> Result<(), StartError> {
    match core {}
}
