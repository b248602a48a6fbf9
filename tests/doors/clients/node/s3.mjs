// What a program in JavaScript does with buckets, by AWS's SDK and by MinIO's client; prints "done" when all of it held.
import assert from "node:assert/strict";
import dns from "node:dns";
import { Readable } from "node:stream";
import {
  CopyObjectCommand, CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand, GetObjectCommand,
  HeadObjectCommand, ListBucketsCommand, paginateListObjectsV2, PutObjectCommand, S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import * as Minio from "minio";

// Names below localhost lead to this machine, as browsers have it and plain glibc does not.
const lookup = dns.lookup;
dns.lookup = (name, ...rest) => lookup(name.endsWith("localhost") ? "127.0.0.1" : name, ...rest);

const forcePathStyle = process.env.STYLE === "path";
const client = new S3Client({ forcePathStyle });
const Bucket = "photos";
const big = Buffer.alloc(12 << 20, "x");
const read = async (command) => Buffer.from(await (await client.send(command)).Body.transformToByteArray());

await client.send(new CreateBucketCommand({ Bucket }));
assert.deepEqual((await client.send(new ListBucketsCommand({}))).Buckets.map((bucket) => bucket.Name), [Bucket]);
await client.send(new PutObjectCommand({ Bucket, Key: "é a/small", Body: "hello", Metadata: { n: "1" } }));
await new Upload({ client, params: { Bucket, Key: "big", Body: Readable.from([big.subarray(0, 7 << 20), big.subarray(7 << 20)]) } }).done();
assert.ok((await read(new GetObjectCommand({ Bucket, Key: "big" }))).equals(big));
assert.equal((await read(new GetObjectCommand({ Bucket, Key: "é a/small", Range: "bytes=1-2" }))).toString(), "el");
assert.equal((await client.send(new HeadObjectCommand({ Bucket, Key: "é a/small" }))).Metadata.n, "1");
await client.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource: encodeURI(`${Bucket}/é a/small`) }));
await assert.rejects(client.send(new PutObjectCommand({ Bucket, Key: "copy", Body: "x", IfNoneMatch: "*" })), { name: "PreconditionFailed" });
await assert.rejects(client.send(new GetObjectCommand({ Bucket, Key: "none" })), { name: "NoSuchKey" });
const keys = [];
for await (const page of paginateListObjectsV2({ client, pageSize: 2 }, { Bucket })) {
  keys.push(...page.Contents.map((entry) => entry.Key));
}
assert.deepEqual(keys, ["big", "copy", "é a/small"]);
if (forcePathStyle) {
  const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: "é a/small" }), { expiresIn: 60 });
  assert.equal(await (await fetch(url)).text(), "hello");
  const address = new URL(process.env.AWS_ENDPOINT_URL_S3);
  const other = new Minio.Client({
    endPoint: address.hostname, port: Number(address.port), useSSL: address.protocol === "https:",
    accessKey: process.env.AWS_ACCESS_KEY_ID, secretKey: process.env.AWS_SECRET_ACCESS_KEY,
  });
  await other.putObject(Bucket, "minio", big);
  assert.equal((await other.statObject(Bucket, "minio")).size, big.length);
  assert.equal(await (await fetch(await other.presignedGetObject(Bucket, "copy"))).text(), "hello");
  await other.removeObjects(Bucket, ["minio"]);
}
const told = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
assert.equal(told.Deleted.length, 3);
await client.send(new DeleteBucketCommand({ Bucket }));
console.log("done");
