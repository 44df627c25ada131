"""Everything that a store holds of one experiment, to be compared with what it held before."""

from stages.sync.quiet_mlflow import ViewType, forget_artifact_places


def snapshot(client, experiment, view=ViewType.ALL):
    identifier = client.get_experiment_by_name(experiment).experiment_id
    forget_artifact_places()
    found = {}
    for run in client.search_runs([identifier], run_view_type=view):
        identity = run.info.run_id
        entry = (run.info.run_name, run.info.start_time)
        assert entry not in found, "a run twice"
        found[entry] = {
            "status": run.info.status,
            "end": run.info.end_time,
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": sorted(
                (each.key, each.step, each.timestamp, each.value)
                for key in run.data.metrics
                for each in client.get_metric_history(identity, key)
            ),
            "artifacts": _files(client, identity),
        }
    return found


def _files(client, run_id, folder=None):
    names = []
    for entry in client.list_artifacts(run_id, folder):
        names += _files(client, run_id, entry.path) if entry.is_dir else [entry.path]
    return sorted(names)
