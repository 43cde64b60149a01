//! A placement plan in the protocol's words.

use felhom_engine::Refusal;
use felhom_engine::volumes as engine;
use felhom_ids::Vmid;
use felhom_protocol::placement as told;

/// The plan as it is told to people, programs and the in-guest controller.
pub fn placement_plan(plan: &engine::PlacementPlan) -> told::PlacementPlan {
    let moves = plan.moves.iter();
    told::PlacementPlan {
        vmid: plan.vmid,
        storage: plan.storage.to_string(),
        space: plan.space,
        moves: moves.map(|moved| volume_move(plan.vmid, moved)).collect(),
        refused: plan.refused.iter().map(refused).collect(),
    }
}

fn refused(refusal: &Refusal) -> told::Refused {
    told::Refused {
        what: refusal.what.clone(),
        hint: refusal.hint.clone(),
    }
}

fn volume_move(vmid: Vmid, moved: &engine::VolumeMove) -> told::VolumeMove {
    told::VolumeMove {
        volume: moved.volume.clone(),
        class: moved.class.to_string(),
        from: moved.from.clone(),
        to: moved.to.clone(),
        key: moved.key.clone(),
        bytes: moved.bytes,
        size: moved.size.bytes(),
        privileges: privileges(&moved.privileges),
        stops: moved.stops.clone(),
        downtime_s: moved.downtime_s,
        old_copy: moved.old_copy.clone(),
        steps: moved.steps.iter().map(|one| step(vmid, one)).collect(),
    }
}

fn privileges(all: &[(String, String)]) -> Vec<told::Privilege> {
    let privilege = |(path, privilege): &(String, String)| told::Privilege {
        path: path.clone(),
        privilege: privilege.clone(),
    };
    all.iter().map(privilege).collect()
}

fn step(vmid: Vmid, step: &engine::PlacementStep) -> told::Step {
    told::Step {
        side: match step.side {
            engine::Side::Node => told::Side::Node,
            engine::Side::Guest => told::Side::Guest,
            engine::Side::Person => told::Side::Person,
        },
        action: action(&step.action),
        what: step.action.what(),
        commands: step.action.commands(vmid),
        if_stopped: step.if_stopped.clone(),
        privileges: privileges(&step.needs.privileges),
        space: step.needs.space.iter().map(space).collect(),
        downtime_s: step.needs.downtime_s,
    }
}

fn space(space: &engine::StepSpace) -> told::Space {
    told::Space {
        place: space.place.clone(),
        bytes: space.bytes,
    }
}

fn action(action: &engine::PlacementAction) -> told::Action {
    use engine::PlacementAction as From;
    use told::Action as To;
    match action.clone() {
        From::AddMount {
            key,
            storage,
            gib,
            path,
            backup,
        } => To::AddMount {
            key,
            storage: storage.to_string(),
            gib,
            path,
            backup,
        },
        From::PrepareMount { path, data } => To::PrepareMount { path, data },
        From::StopContainers { names } => To::StopContainers { names },
        From::CopyTree { from, to } => To::CopyTree { from, to },
        From::CompareTrees { from, to } => To::CompareTrees { from, to },
        From::RemoveContainers { names } => To::RemoveContainers { names },
        From::SetAside { from, to } => To::SetAside { from, to },
        From::RecreateVolume {
            name,
            device,
            labels,
            untold,
        } => To::RecreateVolume {
            name,
            device,
            labels,
            untold,
        },
        From::Repoint { from, to, projects } => To::Repoint { from, to, projects },
        From::StartContainers {
            projects,
            names,
            idle,
        } => To::StartContainers {
            projects,
            names,
            idle,
        },
        From::Prove { vmid: _ } => To::Prove,
        From::BackUp { vmid: _ } => To::BackUp,
        From::ProtectArchive { node: _, volid } => To::ProtectArchive {
            volid: volid.to_string(),
        },
        From::DropOld { path, emptied } => To::DropOld { path, emptied },
    }
}
