use std::time::Duration;

use postgres::{Client, Config, Error, NoTls};

use crate::DatabaseError;

/// Unless the URL, the user or the database has another one.
const STATEMENT_TIMEOUT: &str = "SELECT set_config('statement_timeout', '30s', false) \
     WHERE current_setting('statement_timeout') = '0'";

/// A connection string, with limits to what is waited for where it has none.
pub(crate) fn postgres_config(url: &str) -> Result<Config, DatabaseError> {
    let mut config: Config = url.parse().map_err(|error| {
        DatabaseError::postgres("the URL of the database can not be understood", error)
    })?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    // What is not said stands there as two hours.
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config.keepalives_idle(Duration::from_secs(5));
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(Duration::from_secs(2));
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(3);
    }
    if config.get_application_name().is_none() {
        config.application_name("jetlane-outbox");
    }
    Ok(config)
}

pub(crate) fn connect_postgres(config: &Config) -> Result<Client, Error> {
    let mut client = config.connect(NoTls)?;
    client.batch_execute(STATEMENT_TIMEOUT)?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_does_not_say_has_a_limit_and_what_it_says_stands() {
        let of = |url: &str| {
            let config = postgres_config(url).unwrap();
            let seconds = [
                config.get_connect_timeout().copied(),
                config.get_tcp_user_timeout().copied(),
                Some(config.get_keepalives_idle()),
                config.get_keepalives_interval(),
            ]
            .map(|duration| duration.unwrap().as_secs());
            let retries = config.get_keepalives_retries().unwrap();
            (seconds, retries, config.get_application_name().unwrap().to_owned())
        };
        let url = "postgres://me@host/shop";
        assert_eq!(of(url), ([5, 10, 5, 2], 3, "jetlane-outbox".to_owned()));
        let said = "?connect_timeout=1&tcp_user_timeout=2&keepalives_idle=3&keepalives_interval=4\
                    &keepalives_retries=5&application_name=six";
        assert_eq!(of(&format!("{url}{said}")), ([1, 2, 3, 4], 5, "six".to_owned()));
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        let error = postgres_config("postgres://me:secret@host/shop?colour=red").unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(said.contains("colour") && !said.contains("secret"), "{said}");
    }

    #[test]
    fn a_server_that_is_not_there_is_an_error_that_says_why() {
        let database = crate::Database::postgres_url("postgres://me:secret@%2Fnowhere/shop");
        let error = database.unwrap().connect(&crate::Table::default()).err().unwrap().to_string();
        let doing = "the database can not be connected to: error connecting to server";
        assert_eq!(error, format!("{doing}: No such file or directory (os error 2)"));
    }
}
