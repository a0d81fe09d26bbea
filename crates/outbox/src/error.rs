use std::error::Error;

/// What a database said when it was asked for something.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct DatabaseError {
    doing: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl DatabaseError {
    /// `doing` says what failed, as in "the rows that are stored can not be marked".
    pub(crate) fn new(
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self { doing, source: source.into() }
    }
}
