package dev.mobileseg.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test

class TimingTest {
    @Test
    fun `medians are of the last frames, rates of whole ones`() {
        val timing = Timing()
        assertNull(timing.summary())
        repeat(100) { timing.add(mapOf(Stage.CAMERA to 1000f)) }
        repeat(60) { timing.add(mapOf(Stage.INFERENCE to 10f + it % 3, Stage.DRAW to 9f)) }
        val summary = requireNotNull(timing.summary())
        assertEquals(60, summary.count)
        assertEquals(11f, summary.stages.getValue(Stage.INFERENCE))
        assertEquals(0f, summary.stages.getValue(Stage.CAMERA))
        assertEquals(50f, summary.fps)
        timing.clear()
        assertNull(timing.summary())
    }

    @Test
    fun `the median of an even number lies between two`() {
        assertEquals(2.5f, median(listOf(4f, 1f, 3f, 2f)))
    }

    @Test(expected = IllegalArgumentException::class)
    fun `there is no median of nothing`() {
        median(emptyList())
    }
}
