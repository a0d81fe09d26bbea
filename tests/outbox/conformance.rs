//! What is the same on SQLite and on PostgreSQL: each of these behaviours is tried on both.
//!
//! They stand with others of their theme, in its file.

/// Makes of each behaviour a test on either database.
macro_rules! behaviours {
    ($($theme:ident: $($name:ident),* $(,)?;)*) => {
        mod sqlite {
            $(mod $theme {
                $(#[test]
                fn $name() {
                    crate::$theme::$name(crate::service::On::Sqlite);
                })*
            })*
        }
        mod postgres {
            $(mod $theme {
                $(#[test]
                fn $name() {
                    crate::$theme::$name(crate::service::On::Postgres);
                })*
            })*
        }
    };
}

behaviours! {
    relay:
        what_is_committed_is_published_in_order_and_taken_out,
        what_is_rolled_back_is_never_published;
}
