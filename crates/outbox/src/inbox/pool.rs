use parking_lot::Mutex;

use super::driver::Driver;
use crate::error::DatabaseError;

/// Connections: as many as there were handlers at once.
pub(crate) struct Pool<D: Driver> {
    driver: D,
    idle: Mutex<Vec<D::Connection>>,
}

impl<D: Driver> Pool<D> {
    pub(crate) fn new(driver: D) -> Self {
        Self { driver, idle: Mutex::default() }
    }

    /// Runs something on a connection, which is kept for the next one only if that worked: one that was lost fails once.
    pub(crate) fn with<T>(
        &self,
        run: impl FnOnce(&mut D::Connection, &D) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.driver.connect()?,
        };
        let result = run(&mut connection, &self.driver)?;
        self.idle.lock().push(connection);
        Ok(result)
    }
}
