// A mixed workload of node-postgres; prints what came back, and nothing that may differ by chance.
const { Client, Pool } = require('pg');

const told = [];
const tell = (what, value) => told.push([what, value]);
const failed = async (what, promise) =>
  promise.then(() => tell(what, 'no error'), (error) => tell(what, error.code));

(async () => {
  const client = new Client({ connectionString: process.env.DATABASE_URL });
  const notices = [];
  client.on('notice', (notice) => notices.push([notice.severity, notice.message]));
  client.on('notification', ({ channel, payload }) => notices.push([channel, payload]));
  await client.connect();
  await client.query('CREATE TEMP TABLE work (id int PRIMARY KEY, body bytea, note jsonb, at timestamptz)');

  for (let id = 0; id < 50; id += 1) {
    const inserted = await client.query({
      name: 'insert-work',
      text: 'INSERT INTO work VALUES ($1, $2, $3, $4) RETURNING id, note',
      values: [id, Buffer.alloc(id * 997, id), { id, 'ü': ['x', null] }, new Date(id * 1e9)],
    });
    tell('inserted', inserted.rows);
  }
  const big = await client.query('SELECT $1::bytea AS big', [Buffer.alloc(3_000_000, 7)]);
  tell('big', [big.rows[0].big.length, big.rows[0].big[2_999_999]]);
  const many = await client.query('SELECT id, length(body) AS size, note, at FROM work ORDER BY id');
  tell('many', [many.rowCount, many.fields.map(({ name, dataTypeID }) => [name, dataTypeID]), many.rows]);
  const several = await client.query("SELECT 1 AS a; UPDATE work SET note = '2' WHERE id < 3; SELECT 'c' AS b");
  tell('several', several.map(({ command, rowCount, rows }) => [command, rowCount, rows]));
  tell('all at once', (await Promise.all([5, 6, 7].map((id) =>
    client.query('SELECT note FROM work WHERE id = $1', [id])))).map(({ rows }) => rows));

  await failed('unique', client.query('INSERT INTO work (id) VALUES ($1)', [1]));
  await failed('syntax', client.query('SELEC 1'));
  await failed('several, one wrong', client.query('SELECT 1; SELECT 1/0; SELECT 2'));
  await client.query('BEGIN ISOLATION LEVEL SERIALIZABLE');
  await client.query('DELETE FROM work WHERE id = 9');
  await failed('in a transaction', client.query('SELECT nothing FROM work'));
  await failed('aborted', client.query('SELECT 1'));
  tell('rolled back', (await client.query('COMMIT')).command);
  await client.query('BEGIN');
  await client.query('SAVEPOINT s');
  await failed('savepoint', client.query('SELECT 1/0'));
  await client.query('ROLLBACK TO s');
  tell('kept', (await client.query('DELETE FROM work WHERE id = 9')).rowCount);
  tell('committed', (await client.query('COMMIT')).command);

  await client.query('LISTEN told');
  await client.query("DO $$ BEGIN RAISE NOTICE 'to be noticed'; END $$");
  await client.query("SELECT pg_notify('told', 'by itself')");
  await client.query('SELECT pg_sleep(0.05)');
  tell('notices', notices);
  await failed('statement timeout', client.query('SET statement_timeout = 50; SELECT pg_sleep(5)'));
  await client.end();

  const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 4 });
  const sums = await Promise.all(Array.from({ length: 40 }, (_, n) =>
    pool.query('SELECT sum(x)::int AS sum FROM generate_series(1, $1) AS x', [n])));
  tell('pool', sums.map(({ rows }) => rows[0].sum));
  await pool.end();
  console.log(JSON.stringify(told, null, 1));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
