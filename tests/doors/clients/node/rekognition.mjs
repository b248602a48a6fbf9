// What a program in JavaScript does with Custom Labels, by AWS's SDK; prints "done" when all of it held.
// Standard input: JSON with "lines" of a manifest, "pictures" by key in base64, and "image", one to be labelled.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  CreateDatasetCommand, CreateProjectCommand, CreateProjectVersionCommand, DeleteProjectCommand,
  DescribeDatasetCommand, DescribeProjectVersionsCommand, DetectCustomLabelsCommand, ListTagsForResourceCommand,
  paginateDescribeProjects, paginateListDatasetEntries, RekognitionClient, ResourceInUseException,
  ResourceNotReadyException, StartProjectVersionCommand, StopProjectVersionCommand, UpdateDatasetEntriesCommand,
  waitUntilProjectVersionRunning, waitUntilProjectVersionTrainingCompleted,
} from "@aws-sdk/client-rekognition";
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";

const given = JSON.parse(readFileSync(0));
const client = new RekognitionClient({});
const s3 = new S3Client({ forcePathStyle: true });
const send = (command) => client.send(command);

for (const Bucket of ["photos", "results"]) await s3.send(new CreateBucketCommand({ Bucket }));
for (const [Key, data] of Object.entries(given.pictures))
  await s3.send(new PutObjectCommand({ Bucket: "photos", Key, Body: Buffer.from(data, "base64") }));

const { ProjectArn } = await send(new CreateProjectCommand({ ProjectName: "plants", Tags: { team: "é a" } }));
await send(new CreateProjectCommand({ ProjectName: "other" }));
await assert.rejects(send(new CreateProjectCommand({ ProjectName: "plants" })), (error) => {
  assert.ok(error instanceof ResourceInUseException);
  assert.equal(error.$metadata.httpStatusCode, 400);
  return Boolean(error.$metadata.requestId) && error.message.includes("plants");
});
await assert.rejects(send(new CreateProjectCommand({ ProjectName: "a b" })), { name: "ValidationException" });
const names = [];
for await (const page of paginateDescribeProjects({ client, pageSize: 1 }, {}))
  for (const project of page.ProjectDescriptions) {
    assert.ok(project.CreationTimestamp instanceof Date);
    names.push(project.ProjectArn.split("/")[1]);
  }
assert.deepEqual(names, ["plants", "other"]);
assert.deepEqual((await send(new ListTagsForResourceCommand({ ResourceArn: ProjectArn }))).Tags, { team: "é a" });

const { DatasetArn } = await send(new CreateDatasetCommand({ ProjectArn, DatasetType: "TRAIN" }));
const GroundTruth = new TextEncoder().encode(given.lines.join("\n"));
await send(new UpdateDatasetEntriesCommand({ DatasetArn, Changes: { GroundTruth } }));
const { DatasetDescription } = await send(new DescribeDatasetCommand({ DatasetArn }));
assert.equal(DatasetDescription.Status, "UPDATE_COMPLETE");
assert.equal(DatasetDescription.DatasetStats.LabeledEntries, given.lines.length);
let count = 0;
for await (const page of paginateListDatasetEntries({ client, pageSize: 5 }, { DatasetArn })) count += page.DatasetEntries.length;
assert.equal(count, given.lines.length);

const OutputConfig = { S3Bucket: "results", S3KeyPrefix: "out" };
const { ProjectVersionArn } = await send(new CreateProjectVersionCommand({ ProjectArn, VersionName: "1", OutputConfig }));
const patience = { client, maxWaitTime: 100, minDelay: 1, maxDelay: 1 };
const VersionNames = ["1"];
await waitUntilProjectVersionTrainingCompleted(patience, { ProjectArn, VersionNames });
const described = await send(new DescribeProjectVersionsCommand({ ProjectArn, VersionNames }));
const { Bucket, Name } = described.ProjectVersionDescriptions[0].EvaluationResult.Summary.S3Object;
const summary = JSON.parse(await (await s3.send(new GetObjectCommand({ Bucket, Key: Name }))).Body.transformToString());
assert.equal(summary.AggregatedEvaluationResults.ConfusionMatrix.length, 4);

const Image = { Bytes: Buffer.from(given.image, "base64") };
const ask = () => send(new DetectCustomLabelsCommand({ ProjectVersionArn, Image, MinConfidence: 0 }));
await assert.rejects(ask(), (error) => error instanceof ResourceNotReadyException);
await send(new StartProjectVersionCommand({ ProjectVersionArn, MinInferenceUnits: 1 }));
await waitUntilProjectVersionRunning(patience, { ProjectArn, VersionNames });
const { CustomLabels } = await ask();
assert.equal(CustomLabels.length, 2);
assert.equal(CustomLabels[0].Name, "leaf");
assert.ok(CustomLabels[0].Confidence >= CustomLabels[1].Confidence && CustomLabels[0].Confidence <= 100);
assert.equal((await send(new StopProjectVersionCommand({ ProjectVersionArn }))).Status, "STOPPING");
await assert.rejects(send(new DeleteProjectCommand({ ProjectArn })), (error) => error instanceof ResourceInUseException);
console.log("done");
