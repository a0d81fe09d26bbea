//! Rows as arrays, one a column: so any number of them is one statement of PostgreSQL, whose text is always the same.

use uuid::Uuid;

use super::Insert;

/// The columns of rows, in the order of the statement's parameters.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    pub(super) partitions: Vec<i16>,
    pub(super) event_ids: Vec<&'a str>,
    pub(super) keys: Vec<&'a str>,
    pub(super) subjects: Vec<&'a str>,
    pub(super) headers: Vec<&'a [u8]>,
    pub(super) payloads: Vec<&'a [u8]>,
    pub(super) units: Vec<Option<Uuid>>,
    pub(super) unit_sizes: Vec<Option<i16>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(insert: &'a Insert) -> Self {
        let mut columns = Self::default();
        for entry in &insert.entries {
            columns.partitions.push(entry.partition);
            columns.event_ids.push(&entry.event_id);
            columns.keys.push(&entry.key);
            columns.subjects.push(&entry.subject);
            columns.headers.push(&entry.headers);
            columns.payloads.push(&entry.payload);
            columns.units.push(entry.unit.map(|unit| unit.id));
            columns.unit_sizes.push(entry.unit.map(|unit| unit.size));
        }
        columns
    }
}

impl Insert {
    /// The statement that writes them. Positions are given to what is sorted already, so they follow the order of the events.
    pub(super) fn postgres_rows(&self) -> String {
        let table = &self.table;
        format!(
            "INSERT INTO {table} \
             (partition, event_id, key, subject, headers, payload, unit, unit_size) \
             SELECT partition, event_id, key, subject, headers, payload, unit, unit_size \
             FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], \
             $5::bytea[], $6::bytea[], $7::uuid[], $8::smallint[]) WITH ORDINALITY \
             AS entry (partition, event_id, key, subject, headers, payload, unit, unit_size, at) \
             ORDER BY at"
        )
    }
}
