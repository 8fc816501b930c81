"""Pictures by ray casting: silhouettes, shading and projection by construction."""

import numpy as np
import pytest
import trimesh

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import rendering
from v2mlib.faces.rendering import Camera, Light

RADIUS = 50.0


@pytest.fixture(scope="module")
def sphere():
    mesh = trimesh.creation.icosphere(5, radius=RADIUS)
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def test_silhouette_of_a_sphere(sphere):
    camera = Camera(distance=1000.0, field=150.0, target=(0.0, 0.0, 0.0))
    picture = rendering.render(*sphere, camera=camera, size=(150, 150), background=None)
    area = (picture[..., 3] / 255).sum()
    # A perspective camera sees the cone that touches the sphere.
    seen = RADIUS / np.sqrt(1 - (RADIUS / 1000.0) ** 2)
    assert area == pytest.approx(np.pi * seen**2, rel=0.003)
    assert picture.shape == (150, 150, 4)


def test_light_comes_from_where_the_lamp_is(sphere):
    for direction, brighter in (((-1, 0, 0), "left"), ((1, 0, 0), "right")):
        picture = rendering.render(
            *sphere, size=(64, 64), lights=[Light(direction)], ambient=0.05, background=(0, 0, 0)
        ).astype(float)
        left, right = picture[:, :32].sum(), picture[:, 32:].sum()
        assert (left > 2 * right) if brighter == "left" else (right > 2 * left)


def test_projection_meets_the_rendered_pixel(sphere):
    vertices, triangles = sphere
    # Paint a small patch and find it in the picture.
    camera = Camera(yaw_deg=25, pitch_deg=10, roll_deg=15, distance=600.0)
    camera = rendering.frame(vertices, camera, size=(240, 200))
    centre = np.argmin(np.linalg.norm(vertices - [20.0, 15.0, 43.0], axis=1))
    near = np.linalg.norm(vertices - vertices[centre], axis=1) < 4
    colours = np.where(near[:, None], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    picture = rendering.render(
        vertices, triangles, colours=colours, camera=camera, size=(240, 200), lights=[],
        gloss=np.zeros(len(vertices)), ambient=1.0, background=(0, 0, 0), supersample=3,
    ).astype(float)  # fmt: skip
    weight = picture[..., 0]
    rows, columns = np.mgrid[:240, :200]
    found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    expected = rendering.project(vertices[centre], camera, (240, 200))
    assert np.abs(found - expected).max() < 0.6


def test_yaw_looks_from_the_subjects_left():
    camera = Camera(yaw_deg=90, field=100.0, target=(0.0, 0.0, 0.0))
    assert camera.axes[2] == pytest.approx([1, 0, 0], abs=1e-9)
    nose, crown = rendering.project([[0, 0, 20.0], [0, 20.0, 0]], camera, (101, 101))
    assert nose[0] < 50  # the nose points to the picture's left
    assert crown[1] < 50  # up is up
    for preset in rendering.CAMERAS.values():
        assert preset.axes @ preset.axes.T == pytest.approx(np.eye(3), abs=1e-12)


def test_shadows_and_occlusion():
    # A small plate above a large one.
    large = np.array([[-50, 0, -50], [50, 0, -50], [50, 0, 50], [-50, 0, 50]], float)
    floor = trimesh.Trimesh(large, [[0, 2, 1], [0, 3, 2]]).subdivide_to_size(8)
    plate = trimesh.Trimesh(large * 0.3 + [0, 8, 0], [[0, 2, 1], [0, 3, 2]])
    both = trimesh.util.concatenate([floor, plate])
    open_sky = rendering.ambient_occlusion(both.vertices, both.faces)
    flat = np.hypot(*both.vertices[:, [0, 2]].T)
    below = both.vertices[:, 1] < 1
    assert open_sky[below & (flat < 4)].max() < 0.2
    assert open_sky[below & (flat > 60)].min() > 0.9
    camera = Camera(pitch_deg=60, field=120.0, target=(0.0, 0.0, 0.0))
    options = {"camera": camera, "size": (60, 60), "ambient": 0.0, "background": (0, 0, 0)}
    lamp = [Light((0.8, 0.1, 0.6), softness=0.01)]
    shaded = rendering.render(both.vertices, both.faces, lights=lamp, **options).astype(int)
    lit = rendering.render(both.vertices, both.faces, lights=lamp, shadow_rays=0, **options)
    darker = (lit.astype(int) - shaded).sum(-1) > 60
    assert 20 < darker.sum() < 1500


def test_normals_of_a_sphere_do_not_depend_on_the_triangles(sphere):
    vertices, triangles = sphere
    normals = rendering.vertex_normals(vertices, triangles)
    assert np.abs(normals - vertices / RADIUS).max() < 2e-3
    cube = trimesh.creation.box()
    corner = rendering.vertex_normals(np.asarray(cube.vertices), np.asarray(cube.faces))
    assert np.abs(corner) == pytest.approx(np.full((8, 3), 3**-0.5), abs=1e-9)


def test_the_same_picture_every_time(sphere):
    first = rendering.render(*sphere, size=(48, 48))
    assert (first == rendering.render(*sphere, size=(48, 48))).all()


def test_backgrounds(sphere):
    behind = np.zeros((40, 30, 3), np.uint8)
    behind[:, :15] = 200
    picture = rendering.render(*sphere, size=(40, 30), background=behind)
    assert (picture[0, 0] == 200).all()
    assert (picture[0, -1] == 0).all()
    with pytest.raises(ShapeError, match="background has shape"):
        rendering.render(*sphere, size=(30, 40), background=behind)


def test_refusals(sphere):
    vertices, triangles = sphere
    with pytest.raises(InputError, match="side is not a camera preset: use one of front"):
        rendering.render(vertices, triangles, camera="side")
    with pytest.raises(ShapeError, match="vertices has shape"):
        rendering.render(vertices.T, triangles)
    with pytest.raises(InputError, match="complete it with frame"):
        rendering.project(vertices, Camera(), (10, 10))
    with pytest.raises(InputError, match="no positive distance"):
        Camera(distance=0)


def test_contact_sheet_leaves_gaps():
    red, blue = np.zeros((2, 5, 4, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = rendering.contact_sheet([red, blue, red], columns=2, gap=1, background=(0, 0, 0))
    assert sheet.shape == (11, 9, 3)
    assert (sheet[:5, :4] == red).all()
    assert (sheet[:5, 5:] == blue).all()
    assert (sheet[6:, 5:] == 0).all()


def test_a_vertex_is_seen_unless_something_stands_before_it():
    near, far = (0.0, 0.0, 50.0), (0.0, 0.0, -50.0)
    wall = [(-40.0, -40.0, 0.0), (40.0, -40.0, 0.0), (0.0, 60.0, 0.0)]
    vertices = np.array([near, far, *wall])
    camera = rendering.frame(vertices, "front", size=(64, 64))
    seen = rendering.visible(vertices, [[2, 3, 4]], camera)
    assert seen.tolist() == [True, False, True, True, True]
    assert rendering.visible(vertices[:2], np.array([[0, 0, 0]]), camera).all()  # no wall
