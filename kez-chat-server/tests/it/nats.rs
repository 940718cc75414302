//! A nats-server with a configuration of the test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use kez_chat_server::ServerSecret;
use kez_chat_server::nats_conf::NatsConf;
use kez_testbed::guard::Guarded;
use kez_testbed::nats_server;
use serde_json::Value;

use crate::support::until;

/// A running nats-server, killed when this value goes away.
pub(crate) struct Nats {
    process: Guarded,
    pub(crate) url: String,
    /// Where it listens for WebSockets, if the configuration says so.
    pub(crate) ws_url: Option<String>,
}

impl Nats {
    /// Starts one in a new folder.
    pub(crate) async fn start(folder: &Path, conf: &str) -> Self {
        let conf_file = folder.join("nats.conf");
        std::fs::write(&conf_file, conf).unwrap();
        let log = std::fs::File::create(folder.join("nats.log")).unwrap();
        let process = Guarded::spawn(nats_server::find().await.unwrap(), |command| {
            command.arg("--config").arg(&conf_file).arg("--ports_file_dir").arg(folder);
            command.stdout(Stdio::null()).stderr(log);
        })
        .unwrap();
        let ports = folder.join(format!("nats-server_{}.ports", process.id().unwrap()));
        let (url, ws_url) = until(async || {
            let ports: Value = serde_json::from_str(&std::fs::read_to_string(&ports).ok()?).ok()?;
            let url = ports["nats"][0].as_str()?;
            tokio::net::TcpStream::connect(url.strip_prefix("nats://")?).await.ok()?;
            Some((url.to_owned(), ports["websocket"][0].as_str().map(ToOwned::to_owned)))
        })
        .await;
        Self { process, url, ws_url }
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(self) {
        self.process.kill().await.unwrap();
    }

    /// Stops it where it is: its connections stay, and nothing is answered.
    #[cfg(unix)]
    pub(crate) async fn freeze(&self) {
        let id = self.process.id().unwrap().to_string();
        assert!(tokio::process::Command::new("kill").args(["-s", "STOP", &id]).status().await.unwrap().success());
    }
}

/// Renders the configuration that belongs to the secret, on a free loopback port.
pub(crate) fn conf_of(secret: &ServerSecret, folder: &Path) -> String {
    let listen: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let mut conf = NatsConf::new(listen, folder.join("store"), secret.public_keys());
    // The default would promise more than a small disk has.
    conf.max_file_store_bytes = 1_000_000_000;
    conf.render()
}
