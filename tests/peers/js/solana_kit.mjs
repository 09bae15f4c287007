// The newer official client judges the local Solana chain: transactions of versions 0 and 1, confirmed by its own
// strategies over the websocket, estimated by its own estimator, and decoded back from blocks by its own decoder.
//
//     node solana_kit.mjs URL WEBSOCKET_URL
//
// Prints one line of JSON with what it counted; exits non-zero, with the failed assertion, if anything is off.
import assert from "node:assert/strict";

import {
  AccountRole,
  address,
  airdropFactory,
  appendTransactionMessageInstructions,
  assertIsSendableTransaction,
  assertIsTransactionWithBlockhashLifetime,
  createSolanaRpc,
  createSolanaRpcSubscriptions,
  createTransactionMessage,
  decodeTransactionFromRpcResponse,
  estimateResourceLimitsFactory,
  generateKeyPairSigner,
  getAddressEncoder,
  getBase64EncodedWireTransaction,
  getProgramDerivedAddress,
  getSignatureFromTransaction,
  isSolanaError,
  lamports,
  pipe,
  sendAndConfirmTransactionFactory,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
  SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE,
  SOLANA_ERROR__JSON_RPC__SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION,
} from "@solana/kit";

const [url, websocketUrl] = process.argv.slice(2);
const rpc = createSolanaRpc(url);
const rpcSubscriptions = createSolanaRpcSubscriptions(websocketUrl);
const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const estimate = estimateResourceLimitsFactory({ rpc });
const airdrop = airdropFactory({ rpc, rpcSubscriptions });

const SYSTEM = address("11111111111111111111111111111111");
const TOKEN = address("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const ASSOCIATED = address("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
const MEMO = address("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
const MINT_BYTES = 82n;
const SOL = 1_000_000_000n;

const payer = await generateKeyPairSigner();
const friend = await generateKeyPairSigner();

function bytes(...parts) {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

function little(value, size) {
  return Array.from({ length: size }, (_, place) => Number((BigInt(value) >> BigInt(8 * place)) & 255n));
}

const encodeAddress = (one) => getAddressEncoder().encode(one);
const writable = (one) => ({ address: one, role: AccountRole.WRITABLE });
const readonly = (one) => ({ address: one, role: AccountRole.READONLY });
const signing = (signer, role) => ({ address: signer.address, role, signer });

function transferSol(amount) {
  return {
    programAddress: SYSTEM,
    accounts: [signing(payer, AccountRole.WRITABLE_SIGNER), writable(friend.address)],
    data: bytes(little(2, 4), little(amount, 8)),
  };
}

function createMint(mint, rent, decimals) {
  return [
    {
      programAddress: SYSTEM,
      accounts: [signing(payer, AccountRole.WRITABLE_SIGNER), signing(mint, AccountRole.WRITABLE_SIGNER)],
      data: bytes(little(0, 4), little(rent, 8), little(MINT_BYTES, 8), encodeAddress(TOKEN)),
    },
    {
      programAddress: TOKEN,
      accounts: [writable(mint.address)],
      data: bytes([20, decimals], encodeAddress(payer.address), [0]),
    },
  ];
}

async function tokenAccount(owner, mint) {
  const seeds = [encodeAddress(owner), encodeAddress(TOKEN), encodeAddress(mint)];
  return (await getProgramDerivedAddress({ programAddress: ASSOCIATED, seeds }))[0];
}

function createAccount(account, owner, mint) {
  return {
    programAddress: ASSOCIATED,
    accounts: [
      signing(payer, AccountRole.WRITABLE_SIGNER),
      ...[writable(account), readonly(owner), readonly(mint), readonly(SYSTEM), readonly(TOKEN)],
    ],
    data: new Uint8Array([1]),
  };
}

function mintTo(mint, account, amount) {
  return {
    programAddress: TOKEN,
    accounts: [writable(mint), writable(account), signing(payer, AccountRole.READONLY_SIGNER)],
    data: bytes([7], little(amount, 8)),
  };
}

function transferChecked(source, mint, target, amount, decimals) {
  return {
    programAddress: TOKEN,
    accounts: [writable(source), readonly(mint), writable(target), signing(payer, AccountRole.READONLY_SIGNER)],
    data: bytes([12], little(amount, 8), [decimals]),
  };
}

function memo(text) {
  return { programAddress: MEMO, accounts: [], data: new TextEncoder().encode(text) };
}

async function build(version, instructions) {
  const { value: blockhash } = await rpc.getLatestBlockhash({ commitment: "confirmed" }).send();
  return pipe(
    createTransactionMessage({ version }),
    (message) => setTransactionMessageFeePayerSigner(payer, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(blockhash, message),
    (message) => appendTransactionMessageInstructions(instructions, message),
  );
}

async function send(version, instructions, options = {}) {
  const transaction = await signTransactionMessageWithSigners(await build(version, instructions));
  assertIsSendableTransaction(transaction);
  assertIsTransactionWithBlockhashLifetime(transaction);
  await sendAndConfirm(transaction, { commitment: "confirmed", ...options });
  return getSignatureFromTransaction(transaction);
}

async function until(look) {
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function balance(of, commitment = "confirmed") {
  return (await rpc.getBalance(of, { commitment }).send()).value;
}

async function moveTokens(version) {
  const mint = await generateKeyPairSigner();
  const rent = await rpc.getMinimumBalanceForRentExemption(MINT_BYTES).send();
  const source = await tokenAccount(payer.address, mint.address);
  const target = await tokenAccount(friend.address, mint.address);
  const minted = 18_446_744_073_709_551_615n; // all that fits
  const sent = 4_000_000_000n;
  await send(version, createMint(mint, rent, 9));
  await send(version, [createAccount(source, payer.address, mint.address), mintTo(mint.address, source, minted)]);
  const signature = await send(version, [
    createAccount(target, friend.address, mint.address),
    transferChecked(source, mint.address, target, sent, 9),
    memo("paid by the judge"),
  ]);
  const held = async (account) => (await rpc.getTokenAccountBalance(account, { commitment: "confirmed" }).send()).value;
  assert.equal((await held(source)).amount, String(minted - sent));
  assert.deepEqual([(await held(target)).amount, (await held(target)).uiAmountString], [String(sent), "4"]);
  const owned = await rpc
    .getTokenAccountsByOwner(friend.address, { mint: mint.address }, { encoding: "jsonParsed", commitment: "confirmed" })
    .send();
  assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.amount, String(sent));
  return { signature, mint: mint.address, source, target, minted, sent };
}

async function readTokens(version, moved) {
  const options = { encoding: "json", maxSupportedTransactionVersion: 1, commitment: "confirmed" };
  const read = await rpc.getTransaction(moved.signature, options).send();
  assert.equal(read.version, version);
  assert.equal(read.meta.err, null);
  const { compiledMessage, loadedAddresses } = decodeTransactionFromRpcResponse(read);
  assert.equal(compiledMessage.version, version);
  assert.deepEqual(loadedAddresses, { readonly: [], writable: [] });
  const keys = read.transaction.message.accountKeys;
  const amount = (balances, account) =>
    BigInt(balances.find((one) => keys[one.accountIndex] === account)?.uiTokenAmount.amount ?? 0);
  const delta = (account) => amount(read.meta.postTokenBalances, account) - amount(read.meta.preTokenBalances, account);
  assert.equal(delta(moved.source), -moved.sent);
  assert.equal(delta(moved.target), moved.sent);
  const owner = read.meta.postTokenBalances.find((one) => keys[one.accountIndex] === moved.target);
  assert.deepEqual([owner.owner, owner.mint, owner.programId], [friend.address, moved.mint, TOKEN]);
  const wire = await rpc.getTransaction(moved.signature, { ...options, encoding: "base64" }).send();
  assert.equal(getSignatureFromTransaction(decodeTransactionFromRpcResponse(wire).transaction), moved.signature);
  const [summary] = await rpc.getSignaturesForAddress(moved.target, { commitment: "confirmed" }).send();
  assert.deepEqual([summary.signature, summary.memo], [moved.signature, "[17] paid by the judge"]);
}

async function refusals() {
  const failure = await send(0, [transferSol(1_000_000n * SOL)]).catch((error) => error);
  assert.ok(isSolanaError(failure, SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE), `${failure}`);
  assert.equal(failure.context.unitsConsumed, 150n);
  assert.ok(failure.context.logs.some((line) => line.includes("insufficient lamports")));
  const signature = await send(1, [transferSol(1n)]);
  const read = rpc.getTransaction(signature, { commitment: "confirmed", maxSupportedTransactionVersion: 0 }).send();
  const tooOld = await read.catch((error) => error);
  assert.ok(isSolanaError(tooOld, SOLANA_ERROR__JSON_RPC__SERVER_ERROR_UNSUPPORTED_TRANSACTION_VERSION), `${tooOld}`);
  assert.equal(await rpc.getBlock(10n ** 9n).send().catch((error) => error.context.__code), -32004);
}

async function estimates() {
  const message = await build(0, [transferSol(5n)]);
  const limits = await estimate(message);
  assert.ok(limits.computeUnitLimit >= 150 && limits.computeUnitLimit < 2_000, `${limits.computeUnitLimit}`);
  assert.ok(limits.loadedAccountsDataSizeLimit > 0);
  const transaction = await signTransactionMessageWithSigners(message);
  const wire = getBase64EncodedWireTransaction(transaction);
  const seen = (await rpc.simulateTransaction(wire, { encoding: "base64", commitment: "confirmed" }).send()).value;
  assert.equal(seen.fee, 5_000n);
  const moved = seen.preBalances.map((before, place) => before - seen.postBalances[place]);
  assert.deepEqual(moved.slice(0, 2), [5_005n, -5n]);
}

async function readBlocks(first, signatures) {
  const { value: statuses } = await rpc.getSignatureStatuses(signatures).send();
  const last = statuses.reduce((latest, one) => (one.slot > latest ? one.slot : latest), 0n);
  await until(async () => (await rpc.getSlot({ commitment: "finalized" }).send()) >= last);
  const slots = await rpc.getBlocks(first, last, { commitment: "finalized" }).send();
  const found = new Set();
  let previous = null;
  for (const slot of slots) {
    const options = { transactionDetails: "accounts", rewards: false, maxSupportedTransactionVersion: 1 };
    const block = await rpc.getBlock(slot, options).send();
    if (previous !== null) {
      assert.deepEqual(
        [block.parentSlot, block.previousBlockhash, block.blockHeight],
        [previous.slot, previous.blockhash, previous.height + 1n],
      );
    }
    previous = { slot, blockhash: block.blockhash, height: block.blockHeight };
    for (const { transaction, meta } of block.transactions) {
      found.add(transaction.signatures[0]);
      const total = (balances) => balances.reduce((sum, one) => sum + one, 0n);
      assert.equal(total(meta.preBalances) - total(meta.postBalances), meta.fee, "lamports are conserved");
    }
  }
  for (const signature of signatures) assert.ok(found.has(signature), `${signature} is in no block`);
  return slots.length;
}

const first = await rpc.getSlot({ commitment: "confirmed" }).send();
await airdrop({ commitment: "confirmed", recipientAddress: payer.address, lamports: lamports(20n * SOL) });
assert.equal(await balance(payer.address), 20n * SOL);
const given = [await send(0, [transferSol(SOL)]), await send(1, [transferSol(2n * SOL)], { commitment: "finalized" })];
assert.equal(await balance(friend.address, "finalized"), 3n * SOL);
await estimates();
const moved = [];
for (const version of [0, 1]) {
  const one = await moveTokens(version);
  await readTokens(version, one);
  moved.push(one);
}
await refusals();
assert.equal(await balance(friend.address), 3n * SOL + 1n);
const blocks = await readBlocks(first, [...given, ...moved.map((one) => one.signature)]);
console.log(JSON.stringify({ lamports: String(3n * SOL + 1n), sent: moved.map((one) => String(one.sent)), blocks }));
process.exit(0); // the client keeps its websocket open for later; there is none
