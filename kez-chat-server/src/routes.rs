//! Which routes are whose.

use std::sync::Arc;

use kez_core::broker::{Day, Route};
use kez_core::identity::{PrimaryKey, SecretKey};

/// Derives people's routes under every server key. Clones share the keys.
#[derive(Clone)]
pub(crate) struct Routes {
    server_keys: Arc<[SecretKey]>,
}

impl Routes {
    pub(crate) fn new(server_keys: Vec<SecretKey>) -> Self {
        Self { server_keys: server_keys.into() }
    }

    /// Derives the user's routes for these days, the ones under the newest key first.
    pub(crate) fn of(&self, user: &PrimaryKey, days: &[Day]) -> Vec<Route> {
        let mut routes = Vec::with_capacity(self.server_keys.len() * days.len());
        for key in self.server_keys.iter() {
            // By far the dearest part, and the same for every day.
            let shared = key.agree(user);
            routes.extend(days.iter().map(|day| Route::derive(&shared, *day, user, &key.primary())));
        }
        routes
    }
}
