//! Which kind of failure each of the SDK's errors is.

use kez_chat_sdk::{
    AccountError, BackupError, ClientError, ContactError, ExportError, FilesError, HomeDirError, HomeUrlError,
    KeyStoreError, NetError, RequestError, SearchError, SendError, StoreError, TransferError, Unconfirmed,
};

use crate::failure::{Failure, Kind};

impl From<HomeUrlError> for Failure {
    fn from(error: HomeUrlError) -> Self {
        Self::from_error(Kind::Usage, "BadServer", &error)
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        let kind = match &error {
            AccountError::BadHandle(_) | AccountError::TwoHomes { .. } => Kind::Usage,
            AccountError::BackupFile { .. } => Kind::Files,
            AccountError::Backup(error) => of_backup(error),
            AccountError::HomeDir(error) => of_home_dir(error),
            AccountError::Net(error) => of_net(error),
            _ => Kind::Account,
        };
        Self::from_error(kind, error.code(), &error)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        Self::from_error(of_backup(&error), error.code(), &error)
    }
}

impl From<Unconfirmed> for Failure {
    fn from(error: Unconfirmed) -> Self {
        AccountError::from(error).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::HomeDir(error) => of_home_dir(error),
            _ => Kind::Account,
        };
        Self::from_error(kind, error.code(), &error)
    }
}

impl From<ContactError> for Failure {
    fn from(error: ContactError) -> Self {
        let kind = match &error {
            ContactError::BadHandle(_) => Kind::Usage,
            ContactError::Net(error) => of_net(error),
            ContactError::Store(_) => Kind::Account,
            _ => Kind::Peer,
        };
        Self::from_error(kind, error.code(), &error)
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Contact(error) => error.into(),
            RequestError::Net(ref net) => Self::from_error(of_net(net), error.code(), &error),
            RequestError::Store(error) => error.into(),
            error => Self::from_error(Kind::Peer, error.code(), &error),
        }
    }
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        let kind = if let SearchError::Store(_) = error { Kind::Account } else { Kind::Usage };
        Self::from_error(kind, error.code(), &error)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let kind = if let ExportError::Store(_) = error { Kind::Account } else { Kind::Files };
        Self::from_error(kind, error.code(), &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from_error(Kind::Account, error.code(), &error)
    }
}

impl From<KeyStoreError> for Failure {
    fn from(error: KeyStoreError) -> Self {
        Self::from_error(Kind::Account, error.code(), &error)
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::from_error(of_send(&error), error.code(), &error)
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Self {
        let kind = match &error {
            FilesError::Waiting { .. } => Kind::NotNow,
            FilesError::Send(error) => of_send(error),
            FilesError::Transfer(error) => of_transfer(error),
            FilesError::BadFolderList { .. } => Kind::Peer,
            FilesError::Store(_) => Kind::Account,
            _ => Kind::Files,
        };
        Self::from_error(kind, error.code(), &error)
    }
}

fn of_backup(error: &BackupError) -> Kind {
    match error {
        BackupError::Io { .. } | BackupError::Damaged { .. } => Kind::Files,
        _ => Kind::Account,
    }
}

fn of_send(error: &SendError) -> Kind {
    match error {
        SendError::Payload(_) => Kind::Usage,
        SendError::Store(_) | SendError::SignedInElsewhere | SendError::YouMoved | SendError::YouRetired => {
            Kind::Account
        }
        _ => Kind::Peer,
    }
}

fn of_transfer(error: &TransferError) -> Kind {
    match error {
        TransferError::NotPermitted { .. } | TransferError::PeerFault { .. } | TransferError::BadContent { .. } => {
            Kind::Peer
        }
        TransferError::Interrupted { .. } | TransferError::NoSocket { .. } => Kind::Network,
        _ => Kind::Files,
    }
}

fn of_home_dir(error: &HomeDirError) -> Kind {
    match error {
        HomeDirError::Owned { .. } => Kind::Account,
        _ => Kind::Files,
    }
}

fn of_net(error: &NetError) -> Kind {
    match error {
        // The server is there, but it is not who it should be.
        NetError::WrongHome { .. } | NetError::Forbidden { .. } => Kind::Peer,
        _ => Kind::Network,
    }
}
