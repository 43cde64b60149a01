//! The process dies right before each step, also where no request lies between two of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use felhom_agent::enroll::Identity;
use felhom_agent::enroll::pbs::Wanted;
use felhom_agent::enroll::pbs::perform::Session;
use felhom_proxmox::pbs::Place;
use felhom_proxmox::pbs::identities::{Door, Login, login};
use felhom_proxmox::{Address, Client, Pbs, Product, Settings, Trust};
use secrecy::SecretString;

use super::Site;

impl Site {
    fn wanted(&self) -> Wanted {
        let beside = |name: &str| self.bench.config.with_file_name(name);
        let address = self.bench.world.pbs_address();
        Wanted {
            storage: "offsite".parse().unwrap(),
            server: address.ip().to_string(),
            port: address.port(),
            fingerprint: self.bench.world.pbs_fingerprint().parse().unwrap(),
            place: Place::root("store".parse().unwrap()),
            writer: Identity {
                token: "felhom@pbs!demo-felhom-offsite".parse().unwrap(),
                secret: beside("credentials").join("pbs-offsite-storage"),
            },
            reader: Identity {
                token: "felhom@pbs!demo-felhom-offsite-agent".parse().unwrap(),
                secret: beside("credentials").join("pbs-offsite"),
            },
            kit: self.kit.clone(),
            master_key: None,
            config: self.bench.config.clone(),
        }
    }

    async fn admin(&self) -> (Pbs, Door) {
        let address = self.bench.world.pbs_address().to_string();
        let door = Door {
            address: Address::of(Product::BackupServer, &address).unwrap(),
            trust: Trust::PinnedLeaf(self.bench.world.pbs_fingerprint().parse().unwrap()),
            timeout: Duration::from_secs(20),
        };
        let password = self.bench.world.pbs_passwords()["root@pam"].clone();
        let root = "root@pam".parse().unwrap();
        let answer = login(&door, &root, &SecretString::from(password)).await;
        let Login::Ticket(ticket) = answer.unwrap() else {
            panic!("no ticket");
        };
        let settings = Settings::new(door.address.clone(), ticket, door.trust.clone());
        (Pbs::new(Client::new(settings).unwrap()), door)
    }

    /// Enrols, and dies right before the step of this number; whether it came to that.
    async fn die_before(&self, step: usize) -> bool {
        let (wanted, (admin, door), pve) = (self.wanted(), self.admin().await, self.bench.root());
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let enrolling = tokio::spawn(async move {
            let say = move |_: &str| {
                if count.fetch_add(1, Ordering::Relaxed) == step {
                    std::panic::resume_unwind(Box::new("killed"));
                }
            };
            let session = Session {
                admin: Some(&admin),
                pve: &pve,
                door: &door,
                say: &say,
            };
            session.enroll(&wanted).await.map(drop)
        });
        match enrolling.await {
            Ok(ended) => {
                ended.unwrap();
                false
            }
            Err(error) => error.is_panic(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_death_before_any_step_it_goes_on_and_the_key_is_the_same() {
    let mut deaths = 0;
    loop {
        let site = Site::new().await;
        let died = site.die_before(deaths).await;
        site.key_is_safe().await;
        let key = site.key_of_kit();
        assert!(key.is_some() || deaths == 0, "a key comes before all else");
        assert!(!site.die_before(usize::MAX).await);
        site.is_as_wanted().await;
        assert!(
            key.is_none() || key == site.key_of_kit(),
            "step {deaths}: the key was replaced"
        );
        site.bench.world.stop().await.unwrap();
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 8, "{deaths} steps");
}
