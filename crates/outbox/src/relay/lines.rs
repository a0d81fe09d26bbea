//! Which row may go out: one of a key at a time, those of a key in order, many keys side by side. Knows neither time nor network.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use uuid::Uuid;

use crate::store::Row;

/// Rows that were read and are still in the table: each waits in the line of its key, or is on its way, or is doubtful.
///
/// What goes out together is a [`Load`]: a row, or all rows of a unit.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// All rows, by position.
    rows: BTreeMap<i64, Row>,
    /// Of each key the positions of its rows, in order. Never empty.
    lines: HashMap<String, VecDeque<i64>>,
    /// Positions of those at the head of their line that are not on their way.
    ready: BTreeSet<i64>,
    /// Units of which not all rows were read yet, or that are to go out: the positions of their rows, in order.
    units: HashMap<Uuid, Vec<i64>>,
    /// Keys that nothing goes out of.
    stopped: HashSet<String>,
}

/// What goes out together, in order. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) positions: Vec<i64>,
}
