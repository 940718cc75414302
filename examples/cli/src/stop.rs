//! Ctrl-C and SIGTERM.

use std::{future, io, process};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::failure::{Failure, Kind};

/// Knows whether the process has been asked to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<Option<Kind>>);

impl Stop {
    /// Begins to watch the signals, which from then on no longer end the process by themselves.
    pub(crate) fn watch() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let kind = tokio::select! {
                    _ = interrupt.recv() => Kind::Interrupted,
                    _ = terminate.recv() => Kind::Terminated,
                };
                if sender.send_replace(Some(kind)).is_some() {
                    // Asked for twice: no orderly end is waited for, and nothing depends on one.
                    process::exit(kind.exit_code().into());
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Does some work, unless the process is asked to stop first: then the work is dropped where it waits.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            done = work => done,
            kind = self.requested() => Err(Failure::new(kind, "Stopped", "", "")),
        }
    }

    async fn requested(&self) -> Kind {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await.map(|kind| *kind) {
            Ok(Some(kind)) => kind,
            // Without the task that watches, nobody will ever ask.
            _ => future::pending().await,
        }
    }
}
