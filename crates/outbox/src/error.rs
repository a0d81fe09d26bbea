use std::error::Error;
#[cfg(feature = "tokio-postgres")]
use std::fmt;

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

    /// The same, for a driver that keeps what the server said to itself.
    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn postgres(doing: &'static str, source: tokio_postgres::Error) -> Self {
        Self::new(doing, PostgresError(source))
    }
}

/// An error of `postgres` and `tokio-postgres`, whose own words are no more than "db error".
#[cfg(feature = "tokio-postgres")]
#[derive(Debug)]
struct PostgresError(tokio_postgres::Error);

#[cfg(feature = "tokio-postgres")]
impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        if let Some(said) = error.as_db_error() {
            // Not its detail, which may have whole rows in it.
            return write!(f, "{}: {}", said.severity(), said.message());
        }
        match error.source() {
            Some(source) => write!(f, "{error}: {source}"),
            None => error.fmt(f),
        }
    }
}

#[cfg(feature = "tokio-postgres")]
impl Error for PostgresError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}
