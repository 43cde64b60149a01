//! The journal: what was intended before it is done, and what became of it. The only SQL of the agent.

mod deliveries;
mod golden;
mod guards;
mod history;
mod incidents;
mod kits;
mod metrics;
mod passes;
mod pins;
mod records;
mod reports;
mod retention;
mod storages;
mod suppressions;
mod targets;
mod tries;
mod unfinished;
mod verifications;
mod volumes;

pub use deliveries::{ChannelRecord, IN_VAIN, Miss, Pending};
pub use golden::GoldenContainer;
pub use history::GuestHistory;
pub use incidents::KeptNotice;
pub use kits::{KeptKit, Stored};
pub use passes::{DoneWell, PassRow};
pub use pins::PinChange;
pub use records::{BackupRow, Record, Remains, RestoreRow, TestRow};
pub use reports::LastPass;
pub use storages::KnownStorage;
pub use suppressions::Suppression;
pub use targets::KnownTarget;
pub use tries::Tried;
pub use unfinished::{Illegible, Unfinished};
pub use verifications::VerifyRow;
pub use volumes::KeptReport;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use felhom_engine::{InstallationId, Job, JobId, Step, Timestamp};
use sqlx::Row;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::clock;
use crate::lock::{Lock, LockError};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Something is wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The lock is held, or cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The state directory cannot be made.
    #[error("the state directory `{}` cannot be used", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database does not do what it should.
    #[error("the journal cannot be {doing}")]
    Database {
        /// `opened`, `read`, `written`.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Its tables are of another version.
    #[error("the journal is of a version that this program does not know")]
    Version(#[source] MigrateError),
    /// A row makes no sense.
    #[error("the journal holds a {what} that cannot be read")]
    Row {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is no randomness to name an installation with.
    #[error(transparent)]
    Randomness(#[from] clock::NoRandomness),
    /// There is none yet, and reading does not make one.
    #[error("there is no journal in `{}` yet", .0.display())]
    Absent(PathBuf),
}

impl JournalError {
    /// Whether the file system refuses: it is full, or it fails.
    pub fn is_of_the_file_system(&self) -> bool {
        let Self::Database {
            source: sqlx::Error::Database(error),
            ..
        } = self
        else {
            return false;
        };
        let code: Option<u32> = error.code().and_then(|code| code.parse().ok());
        // The low byte of an extended code is the plain one (sqlite.org/rescode.html): IOERR, FULL.
        code.is_some_and(|code| matches!(code & 0xff, 10 | 13))
    }
}

type Result<T> = std::result::Result<T, JournalError>;

fn reading(source: sqlx::Error) -> JournalError {
    JournalError::Database {
        doing: "read",
        source,
    }
}

fn writing(source: sqlx::Error) -> JournalError {
    JournalError::Database {
        doing: "written",
        source,
    }
}

/// What keeps the tables from being brought up to date: that they are of another version, or that they cannot be written.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is no trouble with the file is one with the version, also of later kinds"
)]
fn migrating(error: MigrateError) -> JournalError {
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
            writing(source)
        }
        other => JournalError::Version(other),
    }
}

/// The journal of one installation.
#[derive(Debug)]
pub struct Journal {
    pool: SqlitePool,
    installation: InstallationId,
    lock: Option<Lock>,
}

impl Journal {
    /// Opens the journal for writing; makes it when there is none. Only one process can.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be opened or brought up to date.
    pub async fn open(directory: &Path, purpose: &str) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            // What guests and volumes are called is nobody else's business.
            .mode(0o700)
            .create(directory)
            .map_err(|source| JournalError::Directory {
                path: directory.to_owned(),
                source,
            })?;
        let lock = Lock::take(directory, purpose)?;
        let pool = connect(options(directory).create_if_missing(true)).await?;
        MIGRATIONS.run(&pool).await.map_err(migrating)?;
        let installation = installation(&pool).await?;
        Ok(Self {
            pool,
            installation,
            lock: Some(lock),
        })
    }

    /// Opens an existing journal for reading, beside whoever writes it.
    ///
    /// # Errors
    /// [`JournalError::Absent`] when there is none, or one that nobody came to finish making.
    pub async fn read(directory: &Path) -> Result<Self> {
        if !directory.join(FILE).exists() {
            return Err(JournalError::Absent(directory.to_owned()));
        }
        // Not `read_only`: a reader of a write-ahead log may have to make its shared-memory file.
        let pool = connect(options(directory).create_if_missing(false)).await?;
        let installation = named(&pool).await?;
        let absent = || JournalError::Absent(directory.to_owned());
        Ok(Self {
            pool,
            installation: installation.ok_or_else(absent)?,
            lock: None,
        })
    }

    /// Who we are.
    pub fn installation(&self) -> &InstallationId {
        &self.installation
    }

    /// Says what this process does now, for whoever finds the lock held.
    pub fn say(&mut self, purpose: &str) {
        if let Some(Err(error)) = self.lock.as_mut().map(|lock| lock.say(purpose)) {
            tracing::debug!(%error, "the lock file does not take a new purpose");
        }
    }

    /// Writes a new job down.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn insert(&self, job: &Job) -> Result<()> {
        sqlx::query(
            "INSERT INTO jobs (id, kind, subject, state, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(job.id.as_str())
        .bind(job.kind_name())
        .bind(job.subject())
        .bind(encode(job, "job")?)
        .bind(job.created.millis())
        .bind(job.created.millis())
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// Writes down that a step is about to be performed. Durable when this returns.
    ///
    /// # Errors
    /// When the journal cannot be written; then the step must not be performed.
    pub async fn intend(&self, job: &JobId, seq: i64, step: &Step, now: Timestamp) -> Result<()> {
        sqlx::query(
            "INSERT INTO steps (job, seq, step, principal, mutation, intent_ms) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(job.as_str())
        .bind(seq)
        .bind(step.name())
        .bind(step.principal().to_string())
        .bind(step.is_mutation())
        .bind(now.millis())
        .execute(&self.pool)
        .await
        .map_err(writing)?;
        Ok(())
    }

    /// Writes down what became of a step, and the job's state after it, at once.
    ///
    /// # Errors
    /// When the journal cannot be written; then the step's outcome is as good as unknown.
    pub async fn conclude(&self, job: &Job, seq: i64, outcome: &str, now: Timestamp) -> Result<()> {
        let mut transaction = self.pool.begin().await.map_err(writing)?;
        sqlx::query("UPDATE steps SET outcome = ?, outcome_ms = ? WHERE job = ? AND seq = ?")
            .bind(outcome)
            .bind(now.millis())
            .bind(job.id.as_str())
            .bind(seq)
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        sqlx::query("UPDATE jobs SET state = ?, updated_ms = ? WHERE id = ?")
            .bind(encode(job, "job")?)
            .bind(now.millis())
            .bind(job.id.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(writing)?;
        transaction.commit().await.map_err(writing)
    }

    /// Steps of a job in order: name, principal, whether it changed the world, and what became of it.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn steps(&self, job: &JobId) -> Result<Vec<(String, String, bool, Option<String>)>> {
        let rows = sqlx::query(
            "SELECT step, principal, mutation, outcome FROM steps WHERE job = ? ORDER BY seq",
        )
        .bind(job.as_str())
        .fetch_all(&self.pool)
        .await
        .map_err(reading)?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get(0).map_err(reading)?,
                    row.try_get(1).map_err(reading)?,
                    row.try_get(2).map_err(reading)?,
                    row.try_get(3).map_err(reading)?,
                ))
            })
            .collect()
    }

    /// Whether a table is there. Who reads does not bring the tables up to date.
    async fn has_table(&self, name: &str) -> Result<bool> {
        let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(reading)?;
        Ok(table.is_some())
    }

    /// Lets the database fold its log away, so that nothing of a finished job lingers beside the file.
    pub async fn settle(&self) {
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.pool)
            .await
        {
            tracing::debug!(%error, "the journal's log could not be folded away");
        }
    }
}

const FILE: &str = "journal.sqlite";

fn options(directory: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(directory.join(FILE))
        .journal_mode(SqliteJournalMode::Wal)
        // An intent must survive a power cut before the request leaves.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What a state held is overwritten when the state moves on.
        .pragma("secure_delete", "ON")
}

async fn connect(options: SqliteConnectOptions) -> Result<SqlitePool> {
    // One connection: one writer, and no pool of idle ones. It lives as long as the pool, and nobody looks after it: that task
    // counts the idle ones wrong when another thread takes one at that moment, and then spins for ever (sqlx-core 0.9.0,
    // pool/inner.rs: `release` pushes before it counts).
    SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options)
        .await
        .map_err(|source| JournalError::Database {
            doing: "opened",
            source,
        })
}

async fn installation(pool: &SqlitePool) -> Result<InstallationId> {
    let fresh = format!("{:032x}", u128::from_be_bytes(clock::random::<16>()?));
    sqlx::query("INSERT OR IGNORE INTO installation (only_row, id, created_ms) VALUES (1, ?, ?)")
        .bind(fresh)
        .bind(clock::now().millis())
        .execute(pool)
        .await
        .map_err(writing)?;
    let row = sqlx::query("SELECT id FROM installation")
        .fetch_one(pool)
        .await
        .map_err(reading)?;
    let id: String = row.try_get(0).map_err(reading)?;
    parse_installation(&id)
}

/// The installation of a journal that is whole: who makes one names it last.
async fn named(pool: &SqlitePool) -> Result<Option<InstallationId>> {
    let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'installation'")
        .fetch_optional(pool)
        .await
        .map_err(reading)?;
    if table.is_none() {
        return Ok(None);
    }
    let row = sqlx::query("SELECT id FROM installation")
        .fetch_optional(pool)
        .await
        .map_err(reading)?;
    let Some(row) = row else {
        return Ok(None);
    };
    let id: String = row.try_get(0).map_err(reading)?;
    parse_installation(&id).map(Some)
}

fn parse_installation(id: &str) -> Result<InstallationId> {
    id.parse()
        .map_err(|error: felhom_engine::ParseMarkError| JournalError::Row {
            what: "installation id",
            source: serde::de::Error::custom(error),
        })
}

fn encode(value: &impl serde::Serialize, what: &'static str) -> Result<String> {
    serde_json::to_string(value).map_err(|source| JournalError::Row { what, source })
}

fn decode<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(|source| JournalError::Row { what, source })
}
