import { expect, it } from 'vitest';
import { BodyBudget } from './body-reader.ts';
import { GatheredBytes } from './gathered-bytes.ts';

it('puts pieces of a byte together in no more than twice their room, and counts that room', () => {
  const budget = new BodyBudget(1e9);
  const gathered = new GatheredBytes(budget);
  const text = Buffer.from('0123456789'.repeat(10_000));
  for (let i = 0; i < text.length; i++) gathered.push(text.subarray(i, i + 1));
  expect(gathered.view().equals(text)).toBe(true);
  expect(budget.heldBytes).toBeGreaterThanOrEqual(text.length);
  expect(budget.heldBytes).toBeLessThanOrEqual(2 * text.length);
  gathered.clear();
  expect([gathered.length, budget.heldBytes]).toEqual([0, 0]);
});

it('makes exactly the room that was announced, and not before the bytes come', () => {
  const budget = new BodyBudget(1e9);
  const gathered = new GatheredBytes(budget, 300_000);
  gathered.push(Buffer.alloc(10_000));
  expect(budget.heldBytes).toBe(20_000);
  gathered.push(Buffer.alloc(290_000));
  expect(budget.heldBytes).toBe(300_000);
});

it('adds nothing that the budget has no room for', () => {
  const budget = new BodyBudget(2_000);
  const gathered = new GatheredBytes(budget);
  gathered.push(Buffer.alloc(1_000));
  expect(() => gathered.push(Buffer.alloc(1_001))).toThrow(expect.objectContaining({ code: 'buffer-full' }));
  expect([gathered.length, budget.heldBytes]).toEqual([1_000, 2_000]);
});
