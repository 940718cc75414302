//! What other programs are given: a background process, the API, completions, manual pages.

use std::{env, fs, io};

use clap::CommandFactory as _;

use crate::{
    api::{self, Object, account::Owner},
    args::{Api, Arguments, Completions, Man, Run},
    bridge,
    context::Context,
    failure::{Failure, Kind},
};

/// Owns the home until it is stopped. What others ask is answered, and events wait for who listens.
pub(super) async fn run(context: &Context, typed: &Run) -> Result<(), Failure> {
    if typed.unit {
        return write(&unit()?);
    }
    context
        .with_link(async |link| {
            link.stay();
            if !link.is_ours() {
                let what = format!("process {} owns this home already", link.owner.pid);
                context.output.note(&format!("{what}; this one takes over when it ends"));
            }
            let running = Owner { pid: std::process::id(), stays: true, ..link.owner.clone() };
            context.output.show(Object::Running(running), link.own_home())?;
            // Nothing is subscribed to: this ends when the link does.
            while link.next().await.is_some() {}
            link.call(api::account::Whoami {}).await.map(drop)
        })
        .await
}

/// Writes the systemd unit of a user.
fn unit() -> Result<String, Failure> {
    let program = env::current_exe()?;
    let program = program.display();
    Ok(format!(
        "[Unit]\n\
         Description=kez-chat, which receives messages and serves shared files\n\
         \n\
         [Service]\n\
         ExecStart=\"{program}\" run\n\
         # Without a keyring: a file with the passphrase, which systemd may keep encrypted (systemd-creds).\n\
         #LoadCredentialEncrypted=passphrase:%h/.config/kez-chat/passphrase.cred\n\
         #Environment=KEZ_PASSPHRASE_FILE=%d/passphrase\n\
         Restart=on-failure\n\
         RestartSec=5\n\
         NoNewPrivileges=yes\n\
         PrivateTmp=yes\n\
         LockPersonality=yes\n\
         RestrictSUIDSGID=yes\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    ))
}

/// Hands lines between standard input and output and the owner of the home.
pub(super) async fn api(context: &Context, typed: &Api) -> Result<(), Failure> {
    if typed.schema {
        let schema = serde_json::to_string_pretty(&api::schema()).map_err(io::Error::from)?;
        return write(&format!("{schema}\n"));
    }
    if typed.markdown {
        return write(&api::markdown());
    }
    context.with_link(async |link| bridge::run(link).await).await
}

/// Writes completions for a shell.
pub(super) fn completions(typed: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(typed.shell, &mut Arguments::command(), "kez-chat", &mut script);
    write(&String::from_utf8_lossy(&script))
}

/// Writes a manual page for each command.
pub(super) fn man(typed: &Man) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let what = format!("the manual pages can't be written into {}: {error}", typed.to.display());
        Failure::new(Kind::Files, "NotWritten", what, "name a folder that can be written to")
    };
    fs::create_dir_all(&typed.to).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), &typed.to).map_err(failed)
}

fn write(text: &str) -> Result<(), Failure> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
