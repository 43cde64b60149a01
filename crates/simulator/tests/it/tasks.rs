//! Who sees which task, and what becomes of a task that is stopped.

use felhom_simulator::{Fault, FaultKind};
use serde_json::{Value, json};

use crate::client::{Client, World};
use crate::story::{self, AGENT, CTL, NODE, TEST};

const PASSWORD: &str = "long enough";

/// The user of the self-backup token, by ticket, and a sibling of that token.
async fn family(world: &World) -> (Client, Client) {
    let root = world.root().await;
    let params = [("userid", "felhom-ctl@pve"), ("password", PASSWORD)];
    root.put("/access/password", &params).await.ok();
    root.post("/access/users/felhom-ctl@pve/token/sibling", &[])
        .await
        .ok();
    let owner = world.login("felhom-ctl@pve", PASSWORD).await;
    (owner, world.as_token("felhom-ctl@pve!sibling"))
}

async fn listed(client: &Client, query: &str) -> Vec<Value> {
    let tasks = client.get(&format!("{NODE}/tasks?{query}")).await.data();
    tasks.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_token_task_belongs_to_the_token_and_to_its_user() {
    let world = story::built_in().await;
    let token = world.as_token(CTL);
    let (owner, sibling) = family(&world).await;
    let started = token
        .post(&format!("{NODE}/lxc/9001/snapshot"), &[("snapname", "one")])
        .await;
    let upid = story::upid(&started);
    story::end(&token, &upid).await.ok();
    let path = format!("{NODE}/tasks/{upid}/status");
    for client in [&token, &owner, &world.as_token(AGENT)] {
        let status = client.get(&path).await.data();
        assert_eq!(
            (&status["user"], &status["tokenid"]),
            (&json!("felhom-ctl@pve"), &json!("ctl"))
        );
    }
    let refused = "Permission check failed (/nodes/demo-felhom, Sys.Audit)";
    sibling.get(&path).await.says(403, refused);
    world.as_token(TEST).get(&path).await.says(403, refused);
    let stop = "Permission check failed (/nodes/demo-felhom, Sys.Modify)";
    world
        .as_token(AGENT)
        .delete(&format!("{NODE}/tasks/{upid}"))
        .await
        .says(403, stop);
    assert_eq!(listed(&token, "").await.len(), 1);
    assert_eq!(listed(&owner, "").await.len(), 1);
    assert_eq!(listed(&sibling, "").await.len(), 0);
    assert_eq!(token.get("/cluster/tasks").await.data(), json!([]));
    assert_eq!(
        owner
            .get("/cluster/tasks")
            .await
            .data()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_running_task_is_listed_apart_and_under_its_whole_name() {
    let world = story::built_in().await;
    let token = world.as_token(CTL);
    let (owner, _) = family(&world).await;
    world
        .running
        .inject(Fault::task("vzsnapshot", FaultKind::TaskStall));
    let started = token
        .post(&format!("{NODE}/lxc/9001/snapshot"), &[("snapname", "one")])
        .await;
    let upid = story::upid(&started);
    assert_eq!(listed(&token, "").await.len(), 0);
    let active = listed(&token, "source=active").await;
    assert_eq!(
        (&active[0]["user"], &active[0]["status"]),
        (&json!(CTL), &json!("RUNNING"))
    );
    assert!(active[0].get("tokenid").is_none());
    assert_eq!(listed(&owner, "source=all").await.len(), 0);
    let log = token.get(&format!("{NODE}/tasks/{upid}/log")).await;
    assert_eq!(log.json()["data"], json!([{"n": 1, "t": "no content"}]));
    assert_eq!(
        token.delete(&format!("{NODE}/tasks/{upid}")).await.data(),
        Value::Null
    );
    assert_eq!(story::end(&token, &upid).await.exit, "received interrupt");
    assert_eq!(
        token.delete(&format!("{NODE}/tasks/{upid}")).await.data(),
        Value::Null
    );
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = story::built_in().await;
    let agent = world.as_token(AGENT);
    let before = listed(&agent, "source=all").await.len();
    for (name, fails) in [("one", false), ("two", true), ("three", false)] {
        if fails {
            let kind = FaultKind::TaskFail { text: "no".into() };
            world.running.inject(Fault::task("vzsnapshot", kind));
        }
        story::post(&agent, "/lxc/9001/snapshot", &[("snapname", name)]).await;
    }
    let count = async |query: &str| listed(&agent, query).await.len();
    assert_eq!(count("").await, before + 3);
    assert_eq!(count("typefilter=vzsnapshot&errors=1").await, 1);
    assert_eq!(count("typefilter=vzsnapshot&statusfilter=ok").await, 2);
    assert_eq!(count("typefilter=vzsnapshot&vmid=9010").await, 0);
    assert_eq!(count("typefilter=vzsnapshot&userfilter=AGENT").await, 3);
    assert_eq!(count("typefilter=vzsnapshot&start=1&limit=1").await, 1);
    assert_eq!(count("until=1").await, 0);
    let answer = agent
        .get(&format!("{NODE}/tasks?typefilter=vzsnapshot&limit=1"))
        .await;
    assert_eq!(answer.json()["total"], 3);
    assert_eq!(answer.json()["data"][0]["status"], "OK");
    let bad = agent.get(&format!("{NODE}/tasks?source=none")).await;
    let text = "value 'none' does not have a value in the enumeration 'archive, active, all'";
    assert_eq!(bad.json()["errors"]["source"], text);
}
