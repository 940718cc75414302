//! Calls that are under way on one connection.

use std::collections::HashMap;

use tokio::task::{AbortHandle, JoinSet};

use super::wire::CallId;

/// The calls, by the names that their callers gave them. They end with this.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    tasks: JoinSet<Option<CallId>>,
    handles: HashMap<CallId, AbortHandle>,
}

impl UnderWay {
    /// Tells whether a call of this name is under way.
    pub(crate) fn has(&self, id: &CallId) -> bool {
        self.handles.contains_key(id)
    }

    /// Returns how many calls with names are under way.
    pub(crate) fn len(&self) -> usize {
        self.handles.len()
    }

    /// Goes on with a call beside others. One without a name can't be cancelled.
    pub(crate) fn begin(&mut self, id: Option<CallId>, call: impl Future<Output = ()> + Send + 'static) {
        let name = id.clone();
        let handle = self.tasks.spawn(async move {
            call.await;
            name
        });
        if let Some(id) = id {
            self.handles.insert(id, handle);
        }
    }

    /// Ends a call, and tells whether there was one.
    pub(crate) fn cancel(&mut self, id: &CallId) -> bool {
        self.handles.remove(id).inspect(AbortHandle::abort).is_some()
    }

    /// Waits until a call has ended, and forgets its name. It may be dropped and called again; nothing, if none is under way.
    pub(crate) async fn ended(&mut self) -> Option<()> {
        match self.tasks.join_next().await? {
            Ok(Some(id)) => drop(self.handles.remove(&id)),
            // It was cancelled, or had no name.
            _ => self.handles.retain(|_, handle| !handle.is_finished()),
        }
        Some(())
    }

    /// Waits until all have ended.
    pub(crate) async fn all_ended(&mut self) {
        while self.ended().await.is_some() {}
    }

    /// Lets all go on to their ends, whoever waits for them.
    pub(crate) fn let_go(&mut self) {
        self.tasks.detach_all();
    }
}
