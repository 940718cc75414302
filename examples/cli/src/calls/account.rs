//! Calls about the own account.

use std::{sync::Arc, time::Duration};

use kez_chat_sdk::{Client, ConnectionState, OldHandle, resolve_handle};
use tokio::time::timeout;

use crate::{
    api::{
        Done,
        account::{
            Account, Backup, Diagnosis, Doctor, Export, Finding, Move, MovePlan, PlanMove, Retire, SetVisibility,
            WriteBackup, WriteExport,
        },
    },
    failure::{Failure, Kind},
    owner::Owner,
};

/// How long a doctor waits for a connection that is just being made.
const CONNECTING: Duration = Duration::from_secs(5);

pub(super) async fn backup(client: Client, call: WriteBackup) -> Result<Backup, Failure> {
    let kez_chat_sdk::Backup { made_at_ms, messages, bytes, .. } = client.backup_to(&call.file).await?;
    Ok(Backup { file: call.file, made_at_ms, messages, bytes })
}

pub(super) async fn export(client: Client, call: WriteExport) -> Result<Export, Failure> {
    let kez_chat_sdk::Export { contacts, conversations, messages, .. } = client.export_to(&call.file, |_| {}).await?;
    Ok(Export { file: call.file, contacts, conversations, messages })
}

pub(super) async fn plan_move(client: Client, call: PlanMove) -> Result<MovePlan, Failure> {
    let plan = client.account().plan_move(&resolve_handle(&call.to, None)?).await?;
    Ok(MovePlan {
        from: plan.from.to_string(),
        to: plan.to.to_string(),
        loses: plan.loses.iter().map(Into::into).collect(),
        gains: plan.gains.iter().map(Into::into).collect(),
        waiting: plan.waiting.len() as u64,
    })
}

pub(super) async fn move_to(owner: Arc<Owner>, call: Move) -> Result<Account, Failure> {
    let account = owner.client.account();
    let mut plan = account.plan_move(&resolve_handle(&call.to, None)?).await?;
    if call.without_old_home {
        plan = plan.without_old_home();
    }
    let old = if call.give_up_old { OldHandle::GiveUp } else { OldHandle::Keep };
    let moved = account.move_to(plan, old).await?;
    Ok(Account::of(&moved, owner.account().home_dir))
}

pub(super) async fn retire(owner: Arc<Owner>, call: Retire) -> Result<Account, Failure> {
    if call.handle.trim_start_matches('@') != owner.client.handle().to_string() {
        let what = format!("{} is not the handle of this account", call.handle);
        let advice = format!("type @{} to leave for good", owner.client.handle());
        return Err(Failure::new(Kind::Usage, "NotConfirmed", what, advice));
    }
    owner.client.account().retire().await?;
    Ok(owner.account())
}

pub(super) async fn set_visibility(client: Client, call: SetVisibility) -> Result<Done, Failure> {
    client.presence().set(call.visibility.into()).await?;
    Ok(Done {})
}

pub(super) async fn doctor(client: Client, call: Doctor) -> Result<Diagnosis, Failure> {
    let mut findings = Vec::new();
    let mut connection = client.connection();
    let settled = connection.until(|state| *state != ConnectionState::Connecting);
    let state = timeout(CONNECTING, settled).await.ok().flatten().unwrap_or(ConnectionState::Connecting);
    findings.push(Finding {
        part: "broker".to_owned(),
        works: state == ConnectionState::Online,
        what: state.to_string(),
        advice: (state != ConnectionState::Online).then(|| "check the network".to_owned()),
    });
    if let Some(who) = call.who {
        let contact = super::find(&client, &who).await?;
        let looked = client.contacts().refresh(contact.primary).await.map_err(Failure::from);
        findings.push(finding("contact", looked.map(|contact| format!("{} events walked", contact.events_walked))));
    }
    Ok(Diagnosis { findings })
}

fn finding(part: &str, outcome: Result<String, Failure>) -> Finding {
    let part = part.to_owned();
    match outcome {
        Ok(what) => Finding { part, works: true, what, advice: None },
        Err(failure) => Finding { part, works: false, what: failure.what, advice: Some(failure.advice) },
    }
}
