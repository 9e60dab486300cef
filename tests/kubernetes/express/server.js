// An Express service as somebody writes it: one transaction for each order.
const crypto = require('crypto');
const express = require('express');
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 5 });
pool.on('error', () => {}); // a connection that is lost while idle is replaced
const app = express();

app.get('/healthz', (_, response) => response.send('ok'));

app.get('/hold', () => {}); // never answered

app.post('/orders/:id', async (request, response) => {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('INSERT INTO express_orders (id) VALUES ($1)', [request.params.id]);
    await client.query('COMMIT');
    response.status(201).send('done');
  } catch (error) {
    response.status(500).send(String(error));
  } finally {
    client.release();
  }
});

// The published fix of a well-known article: it remembers webhook ids. Two deliveries of one order
// under two ids both find it pending.
app.post('/webhooks/orders/paid', express.raw({ type: '*/*', limit: '1mb' }), async (request, response) => {
  const secret = process.env.SHOPIFY_SHARED_SECRET;
  const digest = crypto.createHmac('sha256', secret).update(request.body).digest('base64');
  if (digest !== request.get('X-Shopify-Hmac-Sha256')) return response.sendStatus(401);
  const shop = request.get('X-Shopify-Shop-Domain');
  const order = request.get('X-Shopify-Order-Id'); // as text: it is too long for a number
  const webhook = request.get('X-Shopify-Webhook-Id');
  const client = await pool.connect().catch(() => null);
  if (!client) return response.sendStatus(503);
  let broken;
  try {
    const known = await client.query('SELECT 1 FROM webhook_log WHERE webhook_id = $1', [webhook]);
    if (known.rowCount) return response.send('known');
    await client.query('BEGIN');
    const found = await client.query(
      'SELECT status FROM orders WHERE shop = $1 AND order_id = $2', [shop, order]);
    const due = !found.rowCount || found.rows[0].status === 'pending';
    let key;
    if (due) {
      await client.query(
        `INSERT INTO orders (shop, order_id, status) VALUES ($1, $2, 'paid')
         ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid'`, [shop, order]);
      const made = await client.query(
        'INSERT INTO fulfillments (shop, order_id) VALUES ($1, $2) RETURNING id', [shop, order]);
      key = String(made.rows[0].id);
    }
    await client.query(
      'INSERT INTO webhook_log (webhook_id, shop, order_id) VALUES ($1, $2, $3)', [webhook, shop, order]);
    await client.query('COMMIT');
    if (due) await ship(client, key, shop, order, JSON.parse(request.body));
    response.send('done');
  } catch (error) {
    broken = error;
    if (!response.headersSent) response.sendStatus(500);
  } finally {
    client.release(broken);
  }
});

async function ship(client, key, shop, order, paid) {
  const lines = paid.line_items.map((line) => ({ sku: line.sku, quantity: line.quantity }));
  // By hand: the number of the order must not become a rounded one.
  const body = `{"shop": ${JSON.stringify(shop)}, "order_id": ${order}, "lines": ${JSON.stringify(lines)}}`;
  const headers = { 'Content-Type': 'application/json', 'Idempotency-Key': key };
  const answer = await fetch(process.env.FULFILLMENT_URL, { method: 'POST', headers, body });
  if (!answer.ok) throw new Error(`the provider answered ${answer.status}`);
  await client.query('UPDATE fulfillments SET sent = true WHERE id = $1', [key]);
}

process.on('SIGTERM', () => process.exit(0));
app.listen(3000, '0.0.0.0', () => console.log('listening'));
