"""A program as users of Rekognition Custom Labels have it: the confusion matrix of a model, by pandas.

It makes the calls, and takes apart the answers, as the confusion matrix script of the Custom Labels developer guide
does ("Viewing the confusion matrix for a model"), in words of its own; it knows nothing of deconfuse, not even where it
is. Arguments: project, version.
"""

from __future__ import annotations

import json
import sys

import boto3
import pandas as pd


def find_summary(rekognition, project_name, version_name):  # type: ignore[no-untyped-def]
    """Where the summary of a model lies: bucket and name."""
    projects = rekognition.describe_projects(ProjectNames=[project_name])
    if len(projects["ProjectDescriptions"]) == 0:
        sys.exit(f"no project {project_name}")
    models = rekognition.describe_project_versions(
        ProjectArn=projects["ProjectDescriptions"][0]["ProjectArn"], VersionNames=[version_name]
    )
    if len(models["ProjectVersionDescriptions"]) == 0:
        sys.exit(f"no model {version_name}")
    model = models["ProjectVersionDescriptions"][0]
    if model["Status"] in ("TRAINING_IN_PROGRESS", "TRAINING_FAILED"):
        sys.exit(f"{model['Status']}: {model['StatusMessage']}")
    place = model["EvaluationResult"]["Summary"]["S3Object"]
    return place["Bucket"], place["Name"]


def main() -> None:
    """Print predicted labels in rows, true labels in columns, percentages in cells."""
    session = boto3.Session(profile_name="custom-labels-access")
    bucket, name = find_summary(session.client("rekognition"), sys.argv[1], sys.argv[2])
    summary = json.loads(session.resource("s3").Object(bucket, name).get()["Body"].read().decode("utf-8"))
    cells = summary["AggregatedEvaluationResults"]["ConfusionMatrix"]
    table = pd.DataFrame(cells).pivot_table(index="PredictedLabel", columns="GroundTruthLabel", fill_value=0)
    percent = (table.round(2) * 100).astype(int)
    percent.columns = [label for _, label in percent.columns]
    percent.to_csv(sys.stdout)


if __name__ == "__main__":
    main()
