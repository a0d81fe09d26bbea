use std::fmt;

/// The longest name of a table: PostgreSQL keeps 63 bytes of a name, and the names of the tables beside it are longer.
const LONGEST: usize = 48;

/// The table that events wait in; the names of the tables beside it begin with its name. Default: `jetlane_outbox`.
///
/// ```
/// use jetlane_outbox::Table;
/// assert_eq!(Table::default().to_string(), "jetlane_outbox");
/// assert_eq!(Table::new("shop.outbox")?.to_string(), "shop.outbox");
/// assert!(Table::new("outbox; DROP TABLE orders").is_err());
/// # Ok::<(), jetlane_outbox::TableError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    name: String,
}

/// What is wrong with the name of a table. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Names go into SQL as they are: letters, digits and `_`, none beginning with a digit, and at most one dot, behind a schema's name.
    #[error(
        "{name:?} is no name of a table: it needs ASCII letters, digits and _, and at most one dot"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// It is longer than 48 bytes.
    #[error("the name {name:?} of a table has more than {LONGEST} bytes")]
    Long {
        /// What was given.
        name: String,
    },
}

impl Table {
    /// A table of this name, in a schema if there is a dot in it.
    ///
    /// # Errors
    /// [`TableError`] says what is wrong with the name.
    pub fn new(name: impl Into<String>) -> Result<Self, TableError> {
        let name = name.into();
        let is_word = |word: &str| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            word.bytes().all(is_letter)
                && word.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
        };
        if !name.split('.').all(is_word) || name.split('.').count() > 2 {
            return Err(TableError::Name { name });
        }
        if name.len() > LONGEST {
            return Err(TableError::Long { name });
        }
        Ok(Self { name })
    }

    /// What the tables of an inbox are named after, by default: `jetlane_inbox`.
    pub fn inbox() -> Self {
        Self { name: "jetlane_inbox".into() }
    }

    /// A table beside it.
    pub(crate) fn beside(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.name)
    }

    /// A table beside it, without the name of its schema.
    pub(crate) fn bare_beside(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.bare())
    }

    /// The name without that of its schema.
    pub(crate) fn bare(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

impl Default for Table {
    fn default() -> Self {
        Self { name: "jetlane_outbox".into() }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_more_than_a_name_are_refused() {
        for (name, is_good) in [
            ("outbox", true),
            ("shop.outbox_2", true),
            ("_", true),
            ("", false),
            (".", false),
            ("a.", false),
            ("a.b.c", false),
            ("2x", false),
            ("a b", false),
            ("a\"", false),
            ("ä", false),
        ] {
            assert_eq!(Table::new(name).is_ok(), is_good, "{name}");
        }
        assert!(Table::new("x".repeat(48)).is_ok());
        assert!(matches!(Table::new("x".repeat(49)), Err(TableError::Long { .. })));
    }
}
