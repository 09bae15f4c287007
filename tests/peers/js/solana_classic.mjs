// The classic official client judges the local Solana chain: it makes SOL, SPL Token and Token-2022 transfers its own
// way, confirms them over the websocket, reads all blocks back, and compares every amount with what it did itself.
//
//     node solana_classic.mjs URL
//
// Prints one line of JSON with what it counted; exits non-zero, with the failed assertion, if anything is off.
import assert from "node:assert/strict";

import {
  createMint,
  getAccount,
  getAssociatedTokenAddressSync,
  getMint,
  getOrCreateAssociatedTokenAccount,
  mintTo,
  NATIVE_MINT,
  TOKEN_2022_PROGRAM_ID,
  TOKEN_PROGRAM_ID,
  transferChecked,
} from "@solana/spl-token";
import {
  AddressLookupTableProgram,
  ComputeBudgetProgram,
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  SendTransactionError,
  sendAndConfirmTransaction,
  SystemProgram,
  Transaction,
  TransactionMessage,
  VersionedTransaction,
} from "@solana/web3.js";

const url = process.argv[2];
const connection = new Connection(url, "confirmed");
const payer = Keypair.generate();
const friend = Keypair.generate();
const ours = []; // signatures of all that we sent and that landed

async function confirm(signature, commitment = "confirmed") {
  const { blockhash, lastValidBlockHeight } = await connection.getLatestBlockhash();
  const confirming = connection.confirmTransaction({ signature, blockhash, lastValidBlockHeight }, commitment);
  // A failure reaches this client by its subscription, as a value, or by its status poll, which throws it as soon as
  // it is processed.
  const err = await confirming.then(({ value }) => value.err).catch((error) => error);
  if (err instanceof Error) throw err;
  await until(async () => (await connection.getSignatureStatus(signature)).value.confirmationStatus !== "processed");
  return err;
}

async function until(look) {
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function fund() {
  assert.equal(await connection.getBalance(payer.publicKey), 0);
  const signature = await connection.requestAirdrop(payer.publicKey, 10 * LAMPORTS_PER_SOL);
  assert.equal(await confirm(signature), null);
  assert.equal(await connection.getBalance(payer.publicKey), 10 * LAMPORTS_PER_SOL);
  const { slot } = (await connection.getSignatureStatus(signature)).value;
  const finalized = await connection.getBalanceAndContext(payer.publicKey, "finalized");
  if (finalized.context.slot < slot) assert.equal(finalized.value, 0, "a finalized read saw what was not final");
  await until(async () => (await connection.getBalance(payer.publicKey, "finalized")) === 10 * LAMPORTS_PER_SOL);
  assert.equal((await connection.getSignatureStatus(signature)).value.confirmationStatus, "finalized");
  ours.push(signature);
}

async function transferSol() {
  const events = [];
  const subscription = connection.onAccountChange(friend.publicKey, (account) => events.push(account.lamports), {
    commitment: "confirmed",
  });
  const lamports = 1_234_567_890;
  const give = SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: friend.publicKey, lamports });
  const transaction = new Transaction().add(give);
  transaction.feePayer = payer.publicKey;
  transaction.recentBlockhash = (await connection.getLatestBlockhash()).blockhash;
  assert.equal((await connection.getFeeForMessage(transaction.compileMessage())).value, 5_000);
  const simulated = await connection.simulateTransaction(transaction, [payer], [friend.publicKey]);
  assert.equal(simulated.value.err, null);
  assert.equal(simulated.value.unitsConsumed, 150);
  assert.equal(simulated.value.accounts[0].lamports, lamports);
  assert.equal(await connection.getBalance(friend.publicKey, "processed"), 0, "a simulation changed the state");
  ours.push(await sendAndConfirmTransaction(connection, transaction, [payer]));
  assert.equal(await connection.getBalance(friend.publicKey), lamports);
  await until(() => events.length > 0);
  assert.deepEqual(events, [lamports]);
  await connection.removeAccountChangeListener(subscription);
  return lamports;
}

async function transferTokens(programId) {
  const options = { commitment: "confirmed" };
  const mint = await createMint(connection, payer, payer.publicKey, null, 6, undefined, options, programId);
  const make = (owner) =>
    getOrCreateAssociatedTokenAccount(connection, payer, mint, owner, false, "confirmed", options, programId);
  const [source, target] = [await make(payer.publicKey), await make(friend.publicKey)];
  assert.ok(target.address.equals(getAssociatedTokenAddressSync(mint, friend.publicKey, false, programId)));
  const minted = 9_007_199_254_740_993n; // above what a double can count
  const sent = 25_000_001n;
  ours.push(await mintTo(connection, payer, mint, source.address, payer, minted, [], options, programId));
  ours.push(
    await transferChecked(connection, payer, source.address, mint, target.address, payer, sent, 6, [], options, programId),
  );
  assert.equal((await getAccount(connection, source.address, "confirmed", programId)).amount, minted - sent);
  assert.equal((await getAccount(connection, target.address, "confirmed", programId)).amount, sent);
  const state = await getMint(connection, mint, "confirmed", programId);
  assert.equal(state.supply, minted);
  assert.equal(state.decimals, 6);
  assert.equal((await connection.getTokenSupply(mint)).value.amount, String(minted));
  const balance = (await connection.getTokenAccountBalance(target.address)).value;
  assert.deepEqual([balance.amount, balance.decimals, balance.uiAmountString], ["25000001", 6, "25.000001"]);
  const owned = await connection.getParsedTokenAccountsByOwner(friend.publicKey, { mint });
  assert.equal(owned.value.length, 1);
  assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.amount, String(sent));
  return { mint: mint.toBase58(), minted: String(minted), sent: String(sent) };
}

async function refusals() {
  const none = await connection.getAccountInfo(Keypair.generate().publicKey);
  assert.equal(none, null);
  const native = await getMint(connection, NATIVE_MINT);
  assert.equal(native.decimals, 9);
  const greedy = () =>
    new Transaction().add(
      SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: friend.publicKey, lamports: 10 ** 15 }),
    );
  const failure = await sendAndConfirmTransaction(connection, greedy(), [payer]).catch((error) => error);
  assert.ok(failure instanceof SendTransactionError, `${failure}`);
  assert.match(failure.message, /Simulation failed.*custom program error: 0x1/s);
  assert.ok(failure.logs.some((line) => line.includes("insufficient lamports")));
  const before = await connection.getBalance(payer.publicKey);
  const blind = await connection.sendTransaction(greedy(), [payer], { skipPreflight: true });
  assert.deepEqual(await confirm(blind), { InstructionError: [0, { Custom: 1 }] });
  assert.equal(await connection.getBalance(payer.publicKey), before - 5_000, "a failed transaction costs its fee");
  ours.push(blind);
  await assert.rejects(connection.getBlock(10 ** 9), /Block not available for slot 1000000000/);
}

async function lookupTable() {
  const { blockhash } = await connection.getLatestBlockhash();
  const recentSlot = await connection.getSlot("confirmed");
  const authority = payer.publicKey;
  const [create, lookupTable] = AddressLookupTableProgram.createLookupTable({ authority, payer: authority, recentSlot });
  const addresses = [friend.publicKey, SystemProgram.programId];
  const extend = AddressLookupTableProgram.extendLookupTable({ payer: authority, authority, lookupTable, addresses });
  ours.push(await sendAndConfirmTransaction(connection, new Transaction().add(create, extend), [payer]));
  const table = (await connection.getAddressLookupTable(lookupTable)).value;
  assert.deepEqual(table.state.addresses.map(String), addresses.map(String));
  const lamports = 777;
  const message = new TransactionMessage({
    payerKey: authority,
    recentBlockhash: blockhash,
    instructions: [
      ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 2_000_000 }),
      ComputeBudgetProgram.setComputeUnitLimit({ units: 1_000 }),
      SystemProgram.transfer({ fromPubkey: authority, toPubkey: friend.publicKey, lamports }),
    ],
  }).compileToV0Message([table]);
  assert.equal(message.addressTableLookups.length, 1, "the judge meant to use the table");
  const transaction = new VersionedTransaction(message);
  transaction.sign([payer]);
  const signature = await connection.sendTransaction(transaction);
  assert.equal(await confirm(signature), null);
  ours.push(signature);
  const read = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
  assert.equal(read.version, 0);
  assert.equal(read.meta.fee, 5_000 + 2_000);
  assert.deepEqual(read.meta.loadedAddresses.writable.map(String), [friend.publicKey.toBase58()]);
  const keys = read.transaction.message.getAccountKeys({ accountKeysFromLookups: read.meta.loadedAddresses });
  const place = keys.keySegments().flat().findIndex((key) => key.equals(friend.publicKey));
  assert.equal(read.meta.postBalances[place] - read.meta.preBalances[place], lamports);
  await assert.rejects(connection.getTransaction(signature), /Transaction version \(0\) is not supported/);
  const fees = await connection.getRecentPrioritizationFees({ lockedWritableAccounts: [friend.publicKey] });
  assert.ok(fees.some((fee) => fee.prioritizationFee === 2_000_000));
  return lamports;
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + BigInt(number), 0n);
}

function tokens(balances, mint) {
  return sum(balances.filter((one) => one.mint === mint).map((one) => one.uiTokenAmount.amount));
}

async function readBack(first, mints) {
  const last = (await connection.getSignatureStatus(ours.at(-1))).value.slot;
  await until(async () => (await connection.getSlot("finalized")) >= last);
  const slots = await connection.getBlocks(first, last, "finalized");
  const found = new Set();
  const created = new Map(mints.map((mint) => [mint, 0n]));
  let previous = null;
  let skipped = 0;
  for (const slot of slots) {
    const options = { transactionDetails: "accounts", rewards: false, maxSupportedTransactionVersion: 0 };
    const block = await connection.getBlock(slot, { ...options, commitment: "finalized" });
    if (previous !== null) {
      assert.equal(block.parentSlot, previous.slot);
      assert.equal(block.previousBlockhash, previous.blockhash);
      assert.equal(block.blockHeight, previous.height + 1, "heights don't skip with slots");
      for (let absent = previous.slot + 1; absent < slot; absent += 1) {
        await assert.rejects(connection.getBlock(absent, options), /was skipped, or missing/);
        skipped += 1;
      }
    }
    previous = { slot, blockhash: block.blockhash, height: block.blockHeight };
    for (const { transaction, meta } of block.transactions) {
      found.add(transaction.signatures[0]);
      assert.equal(sum(meta.preBalances) - sum(meta.postBalances), BigInt(meta.fee), "lamports are conserved");
      assert.equal(transaction.accountKeys.length, meta.preBalances.length);
      for (const mint of mints) {
        created.set(mint, created.get(mint) + tokens(meta.postTokenBalances, mint) - tokens(meta.preTokenBalances, mint));
      }
    }
  }
  for (const signature of ours) assert.ok(found.has(signature), `${signature} is in no block`);
  assert.ok(skipped > 0, "the judge wanted skipped slots to see");
  return { blocks: slots.length, skipped, created: Object.fromEntries([...created].map(([k, v]) => [k, String(v)])) };
}

async function parsed() {
  const summaries = await connection.getSignaturesForAddress(friend.publicKey, {}, "confirmed");
  assert.ok(summaries.some((one) => one.err !== null) && summaries.some((one) => one.memo === null));
  const read = await connection.getParsedTransactions(ours, { maxSupportedTransactionVersion: 0 });
  const named = read.flatMap((one) => one.transaction.message.instructions.map((instruction) => instruction.parsed?.type));
  assert.ok(named.includes("transfer") && named.includes("transferChecked"), `${named}`);
  return summaries.length;
}

async function main() {
  const first = await connection.getSlot("confirmed");
  const slots = [];
  const subscription = connection.onSlotChange((change) => slots.push(change));
  await fund();
  const lamports = await transferSol();
  const spl = await transferTokens(TOKEN_PROGRAM_ID);
  const spl2022 = await transferTokens(TOKEN_2022_PROGRAM_ID);
  await refusals();
  const looked = await lookupTable();
  assert.equal(await connection.getBalance(friend.publicKey), lamports + looked);
  const back = await readBack(first, [spl.mint, spl2022.mint]);
  assert.deepEqual(back.created, { [spl.mint]: spl.minted, [spl2022.mint]: spl2022.minted });
  assert.ok(slots.length > 0 && slots.every((change) => change.parent < change.slot && change.root <= change.slot));
  await connection.removeSlotChangeListener(subscription);
  const named = await parsed();
  const sent = [spl.sent, spl2022.sent];
  console.log(JSON.stringify({ lamports: lamports + looked, sent, transactions: ours.length, named, ...back }));
}

await main();
process.exit(0); // the client keeps its websocket open for later; there is none
