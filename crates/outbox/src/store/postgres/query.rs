use postgres::types::ToSql;
use postgres::{Client, Error, Row, Statement};

use crate::DatabaseError;

/// A statement that is prepared when it is first used. It is a transaction of its own, and so sees one snapshot, and changes all or
/// nothing.
pub(super) struct Query {
    /// What fails if it fails.
    doing: &'static str,
    pub(super) sql: String,
    prepared: Option<Statement>,
}

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Query {
    pub(super) fn new(doing: &'static str, sql: String) -> Self {
        Self { doing, sql, prepared: None }
    }

    /// How many rows it changed.
    pub(super) fn change(
        &mut self,
        client: &mut Client,
        params: Params<'_>,
    ) -> Result<u64, DatabaseError> {
        let changed = self.prepare(client).and_then(|statement| client.execute(&statement, params));
        changed.map_err(|error| DatabaseError::postgres(self.doing, error))
    }

    pub(super) fn rows<T>(
        &mut self,
        client: &mut Client,
        params: Params<'_>,
        read: impl Fn(&Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, DatabaseError> {
        let rows = self.prepare(client).and_then(|statement| client.query(&statement, params));
        let read = rows.and_then(|rows| rows.iter().map(read).collect());
        read.map_err(|error| DatabaseError::postgres(self.doing, error))
    }

    fn prepare(&mut self, client: &mut Client) -> Result<Statement, Error> {
        if let Some(statement) = &self.prepared {
            return Ok(statement.clone());
        }
        let statement = client.prepare(&self.sql)?;
        self.prepared = Some(statement.clone());
        Ok(statement)
    }
}
