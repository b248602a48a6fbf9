"""The 23 operations: each to one call of the service, and what it gives back to the members of AWS's answer.

This is the one place where AWS's names of members stand. A function takes the house and the parameters that
`Protocol.read` has checked against the model, and gives a result for `Protocol.write`. Whatever the model cannot say,
such as an image that is given as bytes and as an object at once, is refused here by name; all other rules are the
service's.

What AWS has and deconfuse has not is kept and told again: KMS keys, inference units, the feature of a project, its
automatic updates, the configuration of a moderation adapter. docs/api.md says so, operation by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from deconfuse.errors import Invalid
from deconfuse.names import ObjectAddress, dataset_kind
from deconfuse.service import datasets, projects, versions
from deconfuse.service.house import House

Members = dict[str, Any]
"""Parameters or a result, by the model's names."""

PAGE = 100
"""Items of a page where none is asked for."""

POLICY_PAGE = 5
"""The same for policies, which come five at a time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _create_project(house: House, asked: Members) -> Members:
    project = projects.create_project(
        house,
        asked["ProjectName"],
        feature=asked.get("Feature"),
        auto_update=asked.get("AutoUpdate"),
        tags=asked.get("Tags", {}),
    )
    return {"ProjectArn": str(projects.project_arn(house, project))}


def _describe_projects(house: House, asked: Members) -> Members:
    found, token = projects.list_projects(
        house,
        names=tuple(asked.get("ProjectNames", ())),
        features=tuple(asked.get("Features", ())),
        **_page(asked),
    )
    described = [_project(house, project, members) for project, members in found]
    return {"ProjectDescriptions": described, "NextToken": token}


def _project(house: House, project: projects.Project, members: tuple[datasets.Dataset, ...]) -> Members:
    return {
        "ProjectArn": str(projects.project_arn(house, project)),
        "CreationTimestamp": _moment(project.created_ms),
        "Status": project.status,
        "Datasets": [
            {
                "CreationTimestamp": _moment(dataset.created_ms),
                "DatasetType": dataset.kind.upper(),
                "DatasetArn": str(datasets.dataset_arn(house, dataset)),
                "Status": dataset.status,
                "StatusMessage": dataset.message,
                "StatusMessageCode": dataset.code,
            }
            for dataset in members
        ],
        "Feature": project.feature,
        "AutoUpdate": project.auto_update,
    }


def _delete_project(house: House, asked: Members) -> Members:
    projects.delete_project(house, asked["ProjectArn"])
    return {"Status": "DELETING"}


def _put_project_policy(house: House, asked: Members) -> Members:
    policy = projects.put_policy(
        house,
        asked["ProjectArn"],
        asked["PolicyName"],
        document=asked["PolicyDocument"],
        revision=asked.get("PolicyRevisionId"),
    )
    return {"PolicyRevisionId": policy.revision}


def _list_project_policies(house: House, asked: Members) -> Members:
    arn = asked["ProjectArn"]
    found, token = projects.list_policies(house, arn, **_page(asked, POLICY_PAGE))
    described = [
        {
            "ProjectArn": arn,
            "PolicyName": policy.name,
            "PolicyRevisionId": policy.revision,
            "PolicyDocument": policy.document,
            "CreationTimestamp": _moment(policy.created_ms),
            "LastUpdatedTimestamp": _moment(policy.updated_ms),
        }
        for policy in found
    ]
    return {"ProjectPolicies": described, "NextToken": token}


def _delete_project_policy(house: House, asked: Members) -> None:
    projects.delete_policy(house, asked["ProjectArn"], asked["PolicyName"], revision=asked.get("PolicyRevisionId"))


def _tag_resource(house: House, asked: Members) -> None:
    projects.tag(house, asked["ResourceArn"], asked["Tags"])


def _untag_resource(house: House, asked: Members) -> None:
    projects.untag(house, asked["ResourceArn"], asked["TagKeys"])


def _list_tags_for_resource(house: House, asked: Members) -> Members:
    return {"Tags": projects.tags_of(house, asked["ResourceArn"])}


def _create_dataset(house: House, asked: Members) -> Members:
    source = asked.get("DatasetSource")
    manifest, copy_of = (None, None) if source is None else _dataset_source(source)
    dataset = datasets.create_dataset(
        house,
        asked["ProjectArn"],
        kind=dataset_kind("datasetType", asked["DatasetType"]),
        manifest=manifest,
        copy_of=copy_of,
        tags=asked.get("Tags", {}),
    )
    return {"DatasetArn": str(datasets.dataset_arn(house, dataset))}


def _dataset_source(source: Members) -> tuple[ObjectAddress | None, str | None]:
    manifest, copy_of = source.get("GroundTruthManifest"), source.get("DatasetArn")
    if (manifest is None) == (copy_of is None):
        raise Invalid("datasetSource", "give either groundTruthManifest or datasetArn; leave it out for no entries")
    where = "datasetSource.groundTruthManifest.s3Object"
    return (None if manifest is None else _object(where, manifest.get("S3Object"))), copy_of


def _describe_dataset(house: House, asked: Members) -> Members:
    dataset = datasets.describe_dataset(house, asked["DatasetArn"])
    described = {
        "CreationTimestamp": _moment(dataset.created_ms),
        "LastUpdatedTimestamp": _moment(dataset.updated_ms),
        "Status": dataset.status,
        "StatusMessage": dataset.message,
        "StatusMessageCode": dataset.code,
        "DatasetStats": {
            "LabeledEntries": dataset.stats.n_labeled,
            "TotalEntries": dataset.stats.n_entries,
            "TotalLabels": dataset.stats.n_labels,
            "ErrorEntries": dataset.stats.n_errors,
        },
    }
    return {"DatasetDescription": described}


def _delete_dataset(house: House, asked: Members) -> None:
    datasets.delete_dataset(house, asked["DatasetArn"])


def _update_dataset_entries(house: House, asked: Members) -> None:
    datasets.update_entries(house, asked["DatasetArn"], asked["Changes"]["GroundTruth"])


def _distribute_dataset_entries(house: House, asked: Members) -> None:
    datasets.distribute(house, tuple(dataset["Arn"] for dataset in asked["Datasets"]))


def _list_dataset_entries(house: House, asked: Members) -> Members:
    found, token = datasets.list_entries(
        house,
        asked["DatasetArn"],
        labels=tuple(asked.get("ContainsLabels", ())),
        labeled=asked.get("Labeled"),
        contains=asked.get("SourceRefContains", ""),
        has_errors=asked.get("HasErrors"),
        **_page(asked),
    )
    return {"DatasetEntries": list(found), "NextToken": token}


def _list_dataset_labels(house: House, asked: Members) -> Members:
    found, token = datasets.list_labels(house, asked["DatasetArn"], **_page(asked))
    described = [
        {
            "LabelName": count.label,
            # Labels of whole images have no BoundingBoxCount at all in AWS's answers.
            "LabelStats": {"EntryCount": count.n_entries, "BoundingBoxCount": count.n_boxed or None},
        }
        for count in found
    ]
    return {"DatasetLabelDescriptions": described, "NextToken": token}


def _create_project_version(house: House, asked: Members) -> Members:
    training, testing = asked.get("TrainingData"), asked.get("TestingData")
    version = versions.create_version(
        house,
        asked["ProjectArn"],
        asked["VersionName"],
        output=_output(asked),
        training=_asset("trainingData", training),
        testing=_asset("testingData", testing),
        auto_create=(testing or {}).get("AutoCreate"),
        given=_given(asked),
        tags=asked.get("Tags", {}),
    )
    return {"ProjectVersionArn": str(versions.version_arn(house, version))}


def _copy_project_version(house: House, asked: Members) -> Members:
    version = versions.copy_version(
        house,
        source_project=asked["SourceProjectArn"],
        source_version=asked["SourceProjectVersionArn"],
        destination_project=asked["DestinationProjectArn"],
        name=asked["VersionName"],
        output=_output(asked),
        given=_given(asked),
        tags=asked.get("Tags", {}),
    )
    return {"ProjectVersionArn": str(versions.version_arn(house, version))}


def _output(asked: Members) -> tuple[str, str]:
    output = asked["OutputConfig"]
    if "S3Bucket" not in output:
        raise Invalid("outputConfig.s3Bucket", "name the bucket where the results are to be put")
    return output["S3Bucket"], output.get("S3KeyPrefix", "")


def _given(asked: Members) -> Members:
    """What is only kept and told again."""
    return {name: asked[name] for name in ("KmsKeyId", "VersionDescription", "FeatureConfig") if name in asked}


def _asset(field: str, data: Members | None) -> ObjectAddress | None:
    """The one manifest among the assets; None where there are no assets."""
    assets = (data or {}).get("Assets", [])
    if len(assets) > 1:
        raise Invalid(f"{field}.assets", f"one manifest is possible, and {len(assets)} are given")
    if not assets:
        return None
    manifest = assets[0].get("GroundTruthManifest") or {}
    return _object(f"{field}.assets.1.member.groundTruthManifest.s3Object", manifest.get("S3Object"))


def _object(field: str, given: Members | None) -> ObjectAddress:
    """The address of an object, which the model lets be half empty."""
    if given is None or "Bucket" not in given or "Name" not in given:
        raise Invalid(field, "give the bucket and the name of an object")
    return ObjectAddress(given["Bucket"], given["Name"], given.get("Version"))


def _delete_project_version(house: House, asked: Members) -> Members:
    versions.delete_version(house, asked["ProjectVersionArn"])
    return {"Status": "DELETING"}


def _start_project_version(house: House, asked: Members) -> Members:
    status = versions.start_version(
        house,
        asked["ProjectVersionArn"],
        min_units=asked["MinInferenceUnits"],
        max_units=asked.get("MaxInferenceUnits"),
    )
    return {"Status": status}


def _stop_project_version(house: House, asked: Members) -> Members:
    return {"Status": versions.stop_version(house, asked["ProjectVersionArn"])}


def _detect_custom_labels(house: House, asked: Members) -> Members:
    image = asked["Image"]
    data, place = image.get("Bytes"), image.get("S3Object")
    if (data is None) == (place is None):
        raise Invalid("image", "give either bytes or s3Object")
    found = versions.detect(
        house,
        asked["ProjectVersionArn"],
        image=data,
        address=None if place is None else _object("image.s3Object", place),
        min_confidence=asked.get("MinConfidence"),
        max_results=asked.get("MaxResults"),
    )
    return {"CustomLabels": [{"Name": label, "Confidence": percent} for label, percent in found]}


def _page(asked: Members, limit: int = PAGE) -> Members:
    return {"limit": asked.get("MaxResults", limit), "token": asked.get("NextToken")}


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else _EPOCH + timedelta(milliseconds=ms)


def _describe_project_versions(house: House, asked: Members) -> Members:
    found, token = versions.list_versions(
        house, asked["ProjectArn"], names=tuple(asked.get("VersionNames", ())), **_page(asked)
    )
    return {"ProjectVersionDescriptions": [_version(view) for view in found], "NextToken": token}


def _version(view: versions.VersionView) -> Members:
    version, given, outcome = view.version, view.given, view.outcome
    is_split = {"AutoCreate": given.auto_create}
    described = {
        "ProjectVersionArn": view.arn,
        "CreationTimestamp": _moment(version.created_ms),
        "MinInferenceUnits": version.min_units,
        "Status": version.status,
        "StatusMessage": view.message,
        "BillableTrainingTimeInSeconds": version.billable_seconds,
        "TrainingEndTimestamp": _moment(version.ended_ms),
        "OutputConfig": {"S3Bucket": version.output_bucket, "S3KeyPrefix": given.prefix},
        "TrainingDataResult": {
            "Input": _assets(given.training),
            "Output": _assets(outcome.training_snapshot) or None,
            "Validation": _assets(outcome.training_validation) or None,
        },
        "TestingDataResult": {
            "Input": _assets(given.testing) | is_split,
            "Output": _assets(outcome.testing_snapshot) | is_split if outcome.testing_snapshot else None,
            "Validation": _assets(outcome.testing_validation) or None,
        },
        "ManifestSummary": _manifest(outcome.manifest_summary),
        "MaxInferenceUnits": version.max_units,
        "SourceProjectVersionArn": version.source,
        "Feature": view.feature,
        **given.told,
    }
    if outcome.summary is not None:
        described["EvaluationResult"] = {"F1Score": version.f1, "Summary": _manifest(outcome.summary)}
    return described


def _assets(address: ObjectAddress | None) -> Members:
    """A list of one manifest, as AWS writes it; nothing at all without one."""
    return {} if address is None else {"Assets": [{"GroundTruthManifest": _manifest(address)}]}


def _manifest(address: ObjectAddress | None) -> Members | None:
    if address is None:
        return None
    return {"S3Object": {"Bucket": address.bucket, "Name": address.key, "Version": address.version}}


OPERATIONS: Mapping[str, Callable[[House, Members], Members | None]] = MappingProxyType(
    {
        "CopyProjectVersion": _copy_project_version,
        "CreateDataset": _create_dataset,
        "CreateProject": _create_project,
        "CreateProjectVersion": _create_project_version,
        "DeleteDataset": _delete_dataset,
        "DeleteProject": _delete_project,
        "DeleteProjectPolicy": _delete_project_policy,
        "DeleteProjectVersion": _delete_project_version,
        "DescribeDataset": _describe_dataset,
        "DescribeProjects": _describe_projects,
        "DescribeProjectVersions": _describe_project_versions,
        "DetectCustomLabels": _detect_custom_labels,
        "DistributeDatasetEntries": _distribute_dataset_entries,
        "ListDatasetEntries": _list_dataset_entries,
        "ListDatasetLabels": _list_dataset_labels,
        "ListProjectPolicies": _list_project_policies,
        "ListTagsForResource": _list_tags_for_resource,
        "PutProjectPolicy": _put_project_policy,
        "StartProjectVersion": _start_project_version,
        "StopProjectVersion": _stop_project_version,
        "TagResource": _tag_resource,
        "UntagResource": _untag_resource,
        "UpdateDatasetEntries": _update_dataset_entries,
    }
)
"""Each operation by its name."""
