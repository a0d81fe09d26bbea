//! Which row may go out: one of a key at a time, those of a key in order, many keys side by side. Knows neither time nor network.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use crate::store::Row;

/// Rows that were read and are still in the table. Each stands in the line of its key; the first of a line may be on its way.
#[derive(Debug)]
pub(crate) struct Lines {
    /// So many rows of a key are held: the others stay in the table, so that one key leaves room for all others.
    most_of_a_key: usize,
    /// By position.
    rows: HashMap<i64, Arc<Row>>,
    /// By key. Never empty.
    lines: HashMap<String, Line>,
    /// The first positions of the lines that are not busy.
    ready: BTreeSet<i64>,
    /// The positions that were read of each unit.
    units: HashMap<Uuid, Vec<i64>>,
}

/// So many rows of a key are held at most.
const MOST_OF_A_KEY: usize = 64;

#[derive(Debug, Default)]
struct Line {
    /// In the order in which they came, which is that of the positions but for rows that were seen late.
    positions: VecDeque<i64>,
    /// Its first row is on its way, or more of them as part of a unit.
    is_busy: bool,
    /// Rows of it were left in the table: none is taken before those.
    is_cut: bool,
}

/// What a row's subject begins with: all of it but the key.
pub(crate) fn topic(subject: &str) -> &str {
    subject.rsplit_once('.').map_or(subject, |(topic, _)| topic)
}

/// What goes out together: a row, or all rows of a unit in order. Never empty.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) rows: Vec<Arc<Row>>,
    /// How often it was tried in vain.
    pub(crate) attempts: u32,
    /// Of its partition, which is that of all its rows, when it was first sent.
    pub(crate) epoch: Option<i64>,
}

impl Load {
    /// The topics of its rows.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| topic(&row.subject))
    }

    /// Its keys, each once.
    pub(crate) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<_> = self.rows.iter().map(|row| &*row.key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl Lines {
    /// For about so many rows in all.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most_of_a_key: (most as usize / 4).clamp(1, MOST_OF_A_KEY),
            rows: HashMap::new(),
            lines: HashMap::new(),
            ready: BTreeSet::new(),
            units: HashMap::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many rows are of other topics than these.
    pub(crate) fn len_but_for(&self, topics: &BTreeSet<&str>) -> usize {
        match topics.is_empty() {
            true => self.len(),
            false => self.rows.values().filter(|row| !topics.contains(topic(&row.subject))).count(),
        }
    }

    /// The positions of all rows, in order.
    pub(crate) fn positions(&self) -> Vec<i64> {
        let mut positions: Vec<_> = self.rows.keys().copied().collect();
        positions.sort_unstable();
        positions
    }

    /// Keys whose rows are not to be read now, as enough of them are held. Those that have become short enough are not among them any more.
    pub(crate) fn passed_over(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        for (key, line) in &mut self.lines {
            line.is_cut &= line.positions.len() > self.most_of_a_key / 2;
            if line.is_cut {
                keys.push(key.clone());
            }
        }
        keys
    }

    /// A row was read that is not held. If enough of its key are, it stays in the table for now.
    pub(crate) fn add(&mut self, row: Row) {
        let position = row.position;
        let line = self.lines.entry(row.key.clone()).or_default();
        // A unit goes as a whole: no line is cut within one. Its rows of a key stand one behind the other, as they were added at once.
        line.is_cut |= line.positions.len() >= self.most_of_a_key && row.unit.is_none();
        if line.is_cut {
            return;
        }
        if let Some(unit) = row.unit {
            self.units.entry(unit.id).or_default().push(position);
        }
        if line.positions.is_empty() {
            self.ready.insert(position);
        }
        line.positions.push_back(position);
        self.rows.insert(position, Arc::new(row));
    }

    /// The first that may go out of those whose partition `may` go; its keys are busy from now on.
    pub(crate) fn next(&mut self, may: impl Fn(i16) -> bool) -> Option<Load> {
        let found = self.ready.iter().find_map(|position| {
            let row = self.rows.get(position)?;
            may(row.partition).then(|| self.load_of(row)).flatten()
        });
        let load = found?;
        for key in load.keys() {
            if let Some(line) = self.lines.get_mut(key) {
                line.is_busy = true;
                line.positions.front().map(|first| self.ready.remove(first));
            }
        }
        Some(load)
    }

    /// What goes out with the first row of a line; `None` if it has to wait for the rest of its unit.
    fn load_of(&self, row: &Arc<Row>) -> Option<Load> {
        let Some(unit) = row.unit else {
            return Some(Load { rows: vec![Arc::clone(row)], attempts: 0, epoch: None });
        };
        let mut positions = self.units.get(&unit.id)?.clone();
        if positions.len() < usize::from(unit.size.unsigned_abs()) {
            return None;
        }
        positions.sort_unstable();
        let rank = positions.first().copied();
        // Nothing stands before it but others of its unit, and units that come behind it: those that cross each other would wait for ever.
        let is_behind = |at: &i64| {
            let unit = self.rows.get(at).and_then(|row| row.unit);
            let first = unit.and_then(|unit| self.units.get(&unit.id)?.iter().min().copied());
            positions.contains(at) || first > rank
        };
        let is_first = |position: &i64| {
            let line = self.rows.get(position).and_then(|row| self.lines.get(&row.key));
            line.is_some_and(|line| {
                let mut before = line.positions.iter().take_while(|at| *at != position);
                !line.is_busy && before.all(is_behind)
            })
        };
        let rows = || positions.iter().filter_map(|at| self.rows.get(at)).cloned().collect();
        positions.iter().all(is_first).then(|| Load { rows: rows(), attempts: 0, epoch: None })
    }

    /// It is in the stream, and out of the table: the next ones of its keys.
    pub(crate) fn done(&mut self, load: &Load) {
        load.rows.iter().for_each(|row| self.remove(row.position));
        self.free(&load.keys());
    }

    /// It did not get into the stream, and may go out again.
    pub(crate) fn again(&mut self, load: &Load) {
        self.free(&load.keys());
    }

    /// Forgets all rows of a key, which stay in the table.
    pub(crate) fn forget_key(&mut self, key: &str) {
        let positions = self.lines.get(key).map(|line| line.positions.clone()).unwrap_or_default();
        positions.into_iter().for_each(|position| self.remove(position));
        self.free(&[key]);
    }

    /// Forgets a row, unless it is on its way.
    pub(crate) fn forget_waiting(&mut self, position: i64) {
        let Some(row) = self.rows.get(&position).map(Arc::clone) else { return };
        let Some(line) = self.lines.get(&row.key) else { return };
        let is_busy = line.is_busy;
        let first = line.positions.front().and_then(|first| self.rows.get(first));
        // Of a unit all that stand in a line are on their way with the first of them.
        let goes_with = |first: &Arc<Row>| {
            first.position == position || row.unit.is_some_and(|unit| first.unit == Some(unit))
        };
        if is_busy && first.is_some_and(goes_with) {
            return;
        }
        self.remove(position);
        if !is_busy {
            self.free(&[&row.key]);
        }
    }

    /// Forgets all rows of these partitions, which stay in the table.
    pub(crate) fn forget_partitions(&mut self, partitions: &[i16]) {
        let gone = self.rows.values().filter(|row| partitions.contains(&row.partition));
        let keys: BTreeSet<_> = gone.map(|row| row.key.clone()).collect();
        keys.iter().for_each(|key| self.forget_key(key));
    }

    /// Whether something of this partition is on its way.
    pub(crate) fn is_busy(&self, partition: i16) -> bool {
        self.lines.values().filter(|line| line.is_busy).any(|line| {
            let first = line.positions.front().and_then(|position| self.rows.get(position));
            first.is_some_and(|row| row.partition == partition)
        })
    }

    fn remove(&mut self, position: i64) {
        let Some(row) = self.rows.remove(&position) else { return };
        self.ready.remove(&position);
        if let Some(unit) = row.unit
            && let Some(positions) = self.units.get_mut(&unit.id)
        {
            positions.retain(|at| *at != position);
            if positions.is_empty() {
                self.units.remove(&unit.id);
            }
        }
        if let Some(line) = self.lines.get_mut(&row.key) {
            line.positions.retain(|at| *at != position);
        }
    }

    /// The lines of these keys are not busy any more.
    fn free(&mut self, keys: &[&str]) {
        for &key in keys {
            let Some(line) = self.lines.get_mut(key) else { continue };
            line.is_busy = false;
            match line.positions.front() {
                Some(first) => {
                    self.ready.insert(*first);
                }
                None => {
                    self.lines.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Unit;

    fn row(position: i64, key: &str, unit: Option<(u128, i16)>) -> Row {
        Row {
            position,
            partition: crate::partition::partition(key),
            event_id: format!("id-{position}"),
            key: key.into(),
            subject: format!("t.{key}"),
            headers: Vec::new().into(),
            payload: Vec::new().into(),
            unit: unit.map(|(id, size)| Unit { id: Uuid::from_u128(id), size }),
        }
    }

    /// A position, a key, and the unit with its size.
    type Given = (i64, &'static str, Option<(u128, i16)>);

    fn lines(rows: &[Given]) -> Lines {
        let mut lines = Lines::new(4096);
        rows.iter().for_each(|(position, key, unit)| lines.add(row(*position, key, *unit)));
        lines
    }

    fn next(lines: &mut Lines) -> Vec<i64> {
        positions(lines.next(|_| true))
    }

    fn positions(load: Option<Load>) -> Vec<i64> {
        load.iter().flat_map(|load| &load.rows).map(|row| row.position).collect()
    }

    fn load(lines: &Lines, positions: &[i64]) -> Load {
        let rows = positions.iter().map(|at| Arc::clone(&lines.rows[at])).collect();
        Load { rows, attempts: 0, epoch: None }
    }

    fn done(lines: &mut Lines, positions: &[i64]) {
        lines.done(&load(lines, positions));
    }

    fn again(lines: &mut Lines, positions: &[i64]) {
        lines.again(&load(lines, positions));
    }

    #[test]
    fn one_of_a_key_goes_at_a_time_and_keys_go_side_by_side() {
        let mut lines = lines(&[(1, "a", None), (2, "a", None), (3, "b", None), (4, "a", None)]);
        assert_eq!(
            [next(&mut lines), next(&mut lines), next(&mut lines)],
            [vec![1], vec![3], vec![]]
        );
        done(&mut lines, &[3]);
        assert_eq!(next(&mut lines), [0; 0]);
        again(&mut lines, &[1]);
        assert_eq!(next(&mut lines), [1], "the same again, and nothing before it");
        done(&mut lines, &[1]);
        assert_eq!(next(&mut lines), [2]);
        lines.add(row(5, "b", None));
        assert_eq!(next(&mut lines), [5]);
        done(&mut lines, &[2]);
        done(&mut lines, &[5]);
        assert_eq!(next(&mut lines), [4]);
        done(&mut lines, &[4]);
        assert!(lines.rows.is_empty() && lines.lines.is_empty() && lines.ready.is_empty());
    }

    #[test]
    fn a_unit_goes_when_it_is_whole_and_first_in_all_its_lines() {
        let unit = Some((7, 3));
        let mut lines = lines(&[(1, "b", None), (2, "a", unit), (3, "b", unit)]);
        assert_eq!(next(&mut lines), [1]);
        assert_eq!(next(&mut lines), [0; 0], "one of it is missing");
        lines.add(row(4, "a", unit));
        lines.add(row(5, "a", None));
        assert_eq!(next(&mut lines), [0; 0], "one of its lines is busy");
        done(&mut lines, &[1]);
        assert_eq!(next(&mut lines), [2, 3, 4]);
        assert_eq!(next(&mut lines), [0; 0], "all its lines are busy");
        done(&mut lines, &[2, 3, 4]);
        assert_eq!(next(&mut lines), [5]);
        assert!(lines.units.is_empty());
    }

    #[test]
    fn units_that_cross_each_other_go_one_after_the_other() {
        let (one, two) = (Some((1, 2)), Some((2, 2)));
        let mut lines = lines(&[(1, "a", one), (2, "b", two), (3, "a", two), (4, "b", one)]);
        assert_eq!(next(&mut lines), [1, 4]);
        assert_eq!(next(&mut lines), [0; 0]);
        done(&mut lines, &[1, 4]);
        assert_eq!(next(&mut lines), [2, 3]);
        done(&mut lines, &[2, 3]);
        assert!(lines.rows.is_empty() && lines.lines.is_empty() && lines.ready.is_empty());
    }

    #[test]
    fn what_stands_before_a_unit_goes_before_it() {
        let unit = Some((7, 2));
        let mut lines = lines(&[(1, "a", unit), (2, "b", None), (3, "b", unit)]);
        assert_eq!(next(&mut lines), [2]);
        again(&mut lines, &[2]);
        assert_eq!(next(&mut lines), [2]);
        done(&mut lines, &[2]);
        assert_eq!(next(&mut lines), [1, 3]);
    }

    #[test]
    fn a_key_leaves_room_for_others_and_loses_no_row() {
        let mut lines = Lines::new(4096);
        let most = 64;
        assert_eq!(most, i64::try_from(MOST_OF_A_KEY).unwrap());
        for position in 1..=2 * most {
            lines.add(row(position, "a", None));
        }
        assert_eq!(lines.len(), MOST_OF_A_KEY);
        assert_eq!(lines.passed_over(), ["a"]);
        for position in 1..=most / 2 {
            assert_eq!(next(&mut lines), [position]);
            // What is left in the table must not be overtaken.
            lines.add(row(2 * most + position, "a", None));
            done(&mut lines, &[position]);
        }
        assert_eq!(lines.len(), MOST_OF_A_KEY / 2);
        assert_eq!(lines.passed_over(), [""; 0]);
        for position in most + 1..=2 * most {
            lines.add(row(position, "a", None));
        }
        assert_eq!(next(&mut lines), [most / 2 + 1]);
        let positions = lines.positions();
        assert!(positions.iter().copied().eq(most / 2 + 1..=most / 2 + most), "{positions:?}");

        // A whole unit is held, however large it is.
        let mut lines = Lines::new(4096);
        for position in 1..=2 * most {
            lines.add(row(position, "a", Some((7, 128))));
        }
        assert_eq!(next(&mut lines).len(), 2 * MOST_OF_A_KEY);

        // What waits for the rest of a unit, of a key that is stopped, is not read over and over.
        let mut lines = Lines::new(4096);
        lines.add(row(1, "a", Some((7, 2))));
        for position in 2..=2 * most {
            lines.add(row(position, "a", None));
        }
        assert_eq!((next(&mut lines), lines.passed_over()), (vec![], vec!["a".to_owned()]));
        lines.add(row(2, "b", Some((7, 2))));
        assert_eq!(next(&mut lines), [1, 2]);
    }

    #[test]
    fn keys_and_partitions_are_forgotten_whole() {
        let mut lines = lines(&[(1, "a", None), (2, "a", None), (3, "ä", None)]);
        assert_eq!(next(&mut lines), [1]);
        assert!(lines.is_busy(12) && !lines.is_busy(2));
        lines.forget_key("a");
        assert!(!lines.is_busy(12));
        assert_eq!((lines.len(), lines.positions()), (1, vec![3]));
        lines.add(row(1, "a", None));
        assert_eq!(positions(lines.next(|partition| partition == 12)), [1]);
        lines.forget_partitions(&[2]);
        assert_eq!(lines.positions(), [1]);
        assert_eq!(next(&mut lines), [0; 0]);
    }
}
