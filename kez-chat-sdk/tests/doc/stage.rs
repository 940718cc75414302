// What the examples in the documentation play on: a home of their own, in a folder of their own. Each includes this file
// in a hidden line.

use kez_chat_sdk as sdk;

/// A running home. The current folder is a fresh one until it goes.
struct Stage {
    testbed: kez_testbed::Testbed,
    folder: tempfile::TempDir,
}

#[allow(dead_code, reason = "no example needs all of it")]
impl Stage {
    async fn set() -> Self {
        let stage =
            Self { testbed: kez_testbed::Testbed::start().await.unwrap(), folder: tempfile::tempdir().unwrap() };
        // Each example is a process of its own.
        std::env::set_current_dir(stage.folder.path()).unwrap();
        stage
    }

    fn home_url(&self) -> String {
        self.testbed.home_url()
    }

    /// Registers somebody in the folder of their name, and returns their backup's words.
    async fn register(&self, name: &str) -> String {
        let begun = sdk::NewAccount::begin(name, key_store(name)).await.unwrap();
        let words = format!("{name}'s words");
        let account = begun.with_backup_file(words.as_ref()).await.unwrap();
        let server = sdk::HomeUrl::parse(&self.home_url()).unwrap();
        account.register(&sdk::resolve_handle(name, Some(&server)).unwrap(), |_| {}).await.unwrap();
        std::fs::read_to_string(words).unwrap()
    }

    /// Registers somebody, and opens their account.
    async fn client(&self, name: &str) -> sdk::Client {
        self.register(name).await;
        sdk::Client::open(name, key_store(name)).await.unwrap()
    }

    /// Registers somebody who adds whoever writes to them, and says everything back.
    async fn echo(&self, name: &str) {
        let client = self.client(name).await;
        tokio::spawn(async move {
            while let Ok(pending) = client.next_event().await {
                match pending.event {
                    sdk::Event::Request { claimed_handle: Some(handle), .. } => {
                        client.contacts().add(&handle.to_string()).await.unwrap();
                    }
                    sdk::Event::Message { from, text, .. } => {
                        client.conversation(from.primary).send_text(&text).await.unwrap();
                    }
                    _ => {}
                }
                client.handled(pending.id).await.unwrap();
            }
        });
    }

    async fn strike(self) {
        self.testbed.shutdown().await.unwrap();
    }
}

fn key_store(name: &str) -> std::sync::Arc<dyn sdk::KeyStore> {
    let passphrase = sdk::Passphrase::new("correct horse".into());
    std::sync::Arc::new(sdk::PassphraseFile::new(format!("{name}/seed.age"), passphrase))
}
