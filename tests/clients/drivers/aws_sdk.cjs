// The AWS SDK for JavaScript, version 3, with lib-storage for the puts. Questions and answers as in serving.py.
"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { pipeline } = require("node:stream/promises");
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const place = { endpoint: process.env.AWS_ENDPOINT_URL, forcePathStyle: true };
const client = new s3.S3Client(place);
const withoutChecksums = new s3.S3Client({ ...place, requestChecksumCalculation: "WHEN_REQUIRED" });

async function listing(Bucket, Prefix, Delimiter) {
  const found = { keys: [], prefixes: [] };
  const asked = { Bucket, Prefix, Delimiter: Delimiter || undefined };
  for await (const page of s3.paginateListObjectsV2({ client }, asked)) {
    found.keys.push(...(page.Contents ?? []).map((item) => item.Key));
    found.prefixes.push(...(page.CommonPrefixes ?? []).map((item) => item.Prefix));
  }
  return found;
}

const verbs = {
  make_bucket: (Bucket) => client.send(new s3.CreateBucketCommand({ Bucket })),
  remove_bucket: (Bucket) => client.send(new s3.DeleteBucketCommand({ Bucket })),
  put: (Bucket, Key, path) =>
    new Upload({ client, params: { Bucket, Key, Body: fs.createReadStream(path) } }).done(),
  get: async (Bucket, Key, path) => {
    const answer = await client.send(new s3.GetObjectCommand({ Bucket, Key }));
    await pipeline(answer.Body, fs.createWriteStream(path));
  },
  read_range: async (Bucket, Key, start, stop) => {
    const answer = await client.send(new s3.GetObjectCommand({ Bucket, Key, Range: `bytes=${start}-${stop - 1}` }));
    return Buffer.from(await answer.Body.transformToByteArray());
  },
  size: async (Bucket, Key) => {
    const answer = await client.send(new s3.HeadObjectCommand({ Bucket, Key }));
    return String(answer.ContentLength);
  },
  listing: async (...words) => JSON.stringify(await listing(...words)),
  delete: (Bucket, Key) => client.send(new s3.DeleteObjectCommand({ Bucket, Key })),
  delete_under: async (Bucket, prefix) => {
    const Objects = (await listing(Bucket, prefix, "")).keys.map((Key) => ({ Key }));
    const answer = await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    if (answer.Errors?.length) throw new Error(JSON.stringify(answer.Errors));
  },
  copy: (Bucket, key, Key) => {
    const CopySource = `${Bucket}/${encodeURIComponent(key)}`;
    return client.send(new s3.CopyObjectCommand({ Bucket, Key, CopySource }));
  },
  presign_get: (Bucket, Key) => getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key }), { expiresIn: 3600 }),
  presign_put: (Bucket, Key) => getSignedUrl(client, new s3.PutObjectCommand({ Bucket, Key }), { expiresIn: 3600 }),
  put_with_checksum: async (Bucket, Key, path, ChecksumAlgorithm, ChecksumType) => {
    const params = { Bucket, Key, Body: fs.createReadStream(path), ChecksumAlgorithm };
    if (ChecksumType) params.ChecksumType = ChecksumType;
    await new Upload({ client, params }).done();
    const answer = await client.send(new s3.HeadObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
    return answer[`Checksum${ChecksumAlgorithm}`];
  },
  put_without_checksum: (Bucket, Key, path) =>
    new Upload({ client: withoutChecksums, params: { Bucket, Key, Body: fs.createReadStream(path) } }).done(),
};

async function answer(line) {
  try {
    const [verb, ...words] = JSON.parse(line);
    const said = await verbs[verb](...words);
    const raw = typeof said === "string" || Buffer.isBuffer(said) ? Buffer.from(said) : Buffer.alloc(0);
    return { said: raw.toString("base64") };
  } catch (error) {
    return { error: `${error.stack}\n${JSON.stringify(error)}` };
  }
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answer(line)) + "\n");
  }
})();
